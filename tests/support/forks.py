"""Python commands in forks of a process that has imported the large packages: seconds less each.

The environment's variables, the folder, the arguments, the output, the exit code and signals are
those of a process of its own. What looks at how a process starts needs one: imports, logging,
warnings while importing, threads.
"""

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

SCRIPT = Path(__file__).with_name("fork_server.py")
SIZE = 1 << 20


class Forks:
    """The process that forks, for one environment; it ends with this process."""

    def __init__(self, python: str, variables: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [python, str(SCRIPT), str(theirs.fileno())],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self.control = ours
        self.lock = Lock()
        assert ours.recv(SIZE) == b"ready"
        atexit.register(self.close)

    def run(
        self, arguments: Sequence[str], folder: Path, variables: Mapping[str, str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `python` with arguments, like subprocess.run with its errors among its output.

        Raises TimeoutExpired, and kills the process, after `timeout` seconds.
        """
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "variables": dict(variables),
        }
        with self.lock:
            reading, writing = os.pipe()
            try:
                socket.send_fds(self.control, [json.dumps(request).encode()], [writing])
            finally:
                os.close(writing)
            pid = int(self.control.recv(SIZE))
            with os.fdopen(reading, "rb") as output:
                printed = read(output.fileno(), time.monotonic() + timeout)
            if printed is None:
                os.kill(pid, signal.SIGKILL)
            status = int(self.control.recv(SIZE))
        if printed is None:
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        return subprocess.CompletedProcess(["python", *arguments], status, printed)

    def close(self) -> None:
        self.control.close()
        self.process.wait()


def read(descriptor: int, deadline: float) -> str | None:
    """Return what is written until all writers have closed; None if that takes too long."""
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(max(0, deadline - time.monotonic())):
            if not (part := os.read(descriptor, SIZE)):
                return b"".join(parts).decode().replace("\r\n", "\n")
            parts.append(part)
    return None
