"""Commands that are interrupted, and what they leave."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.projects import COMMAND_TIMEOUT, clean_environment

SECONDS_TO_STOP = 60


class Output:
    """What a running command prints, in a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", file: Path) -> None:
        self.process = process
        self.file = file

    def wait_for(self, text: str) -> str:
        """Return everything printed once `text` is among it."""
        deadline = time.monotonic() + COMMAND_TIMEOUT
        while time.monotonic() < deadline:
            printed = self.file.read_text("utf-8", errors="replace")
            if text in printed:
                return printed
            assert self.process.poll() is None, printed
            time.sleep(0.1)
        raise AssertionError(self.file.read_text("utf-8", errors="replace"))


@contextmanager
def interrupted(
    command: list[str],
    folder: Path,
    temporary: Path,
    how: signal.Signals = signal.SIGINT,
) -> Iterator[Output]:
    """Run a command in a terminal's manner, interrupt it, and fail if it leaves anything.

    Ctrl-C reaches every process of the foreground group, a SIGTERM only the first one.
    """
    temporary = temporary / f"{time.monotonic_ns()}"
    temporary.mkdir()
    file = temporary.with_suffix(".log")
    own = {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    with file.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(folder) | own,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    output = Output(process, file)
    try:
        yield output
        (os.killpg if how is signal.SIGINT else os.kill)(process.pid, how)
        process.wait(SECONDS_TO_STOP)
    finally:
        survivors = surviving_processes(temporary)
        for survivor in survivors:
            survivor.kill()
    printed = file.read_text("utf-8", errors="replace")
    assert not survivors, printed
    assert not remaining_files(temporary), printed


def remaining_files(temporary: Path) -> list[Path]:
    """Return what stayed in a temporary folder, without the locks that uv leaves everywhere."""
    return [path for path in temporary.iterdir() if not path.match("uv-*.lock")]


def surviving_processes(temporary: Path) -> list[psutil.Process]:
    """Return the processes that are still running after 5 seconds, in which servers shut down."""
    return psutil.wait_procs(list(processes_of(temporary)), timeout=5)[1]


def processes_of(temporary: Path) -> Iterator[psutil.Process]:
    """Yield the processes that name a temporary folder; a server hides its environment."""
    for process in psutil.process_iter():
        try:
            texts = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(temporary) in text for text in texts):
            yield process
