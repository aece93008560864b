"""The commands of the READMEs and of the message after a copy, as a newcomer gives them."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.projects import ROOT, SECONDS, Project, copy_template, run, surroundings

SECONDS_TO_STOP = 60
IDENTITY = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The template as a git repository with one release."""
    repository = copy_template(tmp_path / "released")
    run(["git", "init", "--quiet"], repository)
    commit(repository)
    run(["git", "tag", "v0.1.0"], repository)
    return repository


def commit(repository: Path) -> None:
    run(["git", "add", "--all"], repository)
    run(["git", *IDENTITY, "commit", "--quiet", "--message", "State"], repository)


def copier(*arguments: str, folder: Path) -> str:
    return run([sys.executable, "-m", "copier", *arguments], folder).stdout


def test_the_message_after_a_copy_can_be_pasted(
    released: Path, tmp_path: Path, short_folder: Path
) -> None:
    """Into a folder with a space and a letter that is not ASCII, without an identity for git."""
    printed = run(
        [sys.executable, "-m", "copier", "copy", "--defaults", str(released), "new projects/café"],
        tmp_path,
        HOME=str(tmp_path),
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_SYSTEM=os.devnull,
    ).stdout
    lines = re.findall(r"^ {4}(\S.*)$", printed, re.MULTILINE)
    assert lines == ["cd 'new projects/café'", "uv sync", "uv run pytest", "uv run nox -s dev"]
    folder = tmp_path / "new projects" / "café"
    for line in lines[1:3]:
        run(line.split(), folder)
    with interrupted([*lines[3].split(), "--", "--port", "0"], folder, short_folder) as output:
        output.wait_for("Uvicorn running on http")
    run(["uv", "run", "nox"], folder)


def test_the_message_after_a_copy_lists_the_answers_and_quotes_the_path(
    released: Path, tmp_path: Path
) -> None:
    """The template's newest commit has no tag."""
    (released / "more").touch()
    commit(released)
    folder = tmp_path / 'it\'s a "new" $(touch executed) `touch executed`'
    data = ("--data", "modules=[order, box]", "--data", "database=sqlite")
    copy = ("copy", "--defaults", "--vcs-ref", "HEAD", *data, str(released))
    printed = copier(*copy, str(folder), folder=tmp_path)
    assert '\n  database: "sqlite"\n  modules: ["order", "box"]\n  model_discovery: ' in printed
    [cd] = re.findall(r"^ {4}(cd .*)$", printed, re.MULTILINE)
    assert run(["sh", "-c", f"{cd} && pwd"], tmp_path).stdout.strip() == str(folder)
    assert not list(tmp_path.rglob("executed"))
    assert "a commit after the template's latest release" in printed
    assert "    uvx copier update --defaults --vcs-ref HEAD\n" in printed


def test_a_project_of_each_database_is_served_twice(
    project: Callable[..., Project], database: str, short_folder: Path
) -> None:
    made = project(database)
    command = [str(made.environment / "bin" / "python"), "-m", "tests.serve", "--port", "0"]
    for how in (signal.SIGTERM, signal.SIGINT):
        with interrupted(command, made.path, short_folder, how) as output:
            output.wait_for("Uvicorn running on http")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_test_run_leaves_nothing(
    project: Callable[..., Project], database: str, short_folder: Path, how: signal.Signals
) -> None:
    made = project(database)
    (made.path / "tests" / "test_slow.py").write_text(
        "import time\n\n\ndef test_slow(server_url):\n"
        "    print('server runs', flush=True)\n    time.sleep(600)\n"
    )
    command = [str(made.environment / "bin" / "python"), "-m", "pytest", "-s", "tests/test_slow.py"]
    with interrupted(command, made.path, short_folder, how) as output:
        output.wait_for("server runs")


def test_a_module_is_added_by_an_update(released: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    copier("copy", "--defaults", str(released), str(project), folder=tmp_path)
    run(["git", "init", "--quiet"], project)
    service = project / "app" / "modules" / "item" / "service.py"
    service.write_text(service.read_text("utf-8") + "\n# mine\n", "utf-8")
    (project / "alembic" / "versions" / "0001_initial.py").write_text("# mine\n")
    commit(project)
    copier("update", "--defaults", "--data", "modules=[item, invoice]", folder=project)
    changed = run(["git", "status", "--porcelain"], project).stdout.splitlines()
    assert sorted(line[:2].strip() + line[2:] for line in changed) == [
        "?? app/modules/invoice/",
        "?? tests/modules/test_invoice.py",
        "M .copier-answers.yml",
        "M alembic/env.py",
        "M app/main.py",
    ]


class Output:
    """What a running command prints, in a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", file: Path) -> None:
        self.process = process
        self.file = file

    def wait_for(self, text: str) -> str:
        """Return everything printed once `text` is among it."""
        deadline = time.monotonic() + SECONDS
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
            env=surroundings(folder) | own,
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
        survivors = outliving(temporary)
        for survivor in survivors:
            survivor.kill()
    printed = file.read_text("utf-8", errors="replace")
    assert not survivors, printed
    assert not left_in(temporary), printed


def left_in(temporary: Path) -> list[Path]:
    """Return what stayed in a temporary folder, without the locks that uv leaves everywhere."""
    return [path for path in temporary.iterdir() if not path.match("uv-*.lock")]


def outliving(temporary: Path) -> list[psutil.Process]:
    """Return the processes that are still there after the moment that a server takes to end."""
    return psutil.wait_procs(list(processes_of(temporary)), timeout=5)[1]


def processes_of(temporary: Path) -> Iterator[psutil.Process]:
    """Yield the processes that were told of a temporary folder; a server hides its environment."""
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(temporary) in text for text in told):
            yield process


def test_the_demo_shows_every_step_and_works_twice(short_folder: Path) -> None:
    nox = [sys.executable, "-m", "nox", "--envdir", str(short_folder / "nox"), "--session", "demo"]
    temporary = short_folder / "temporary"
    temporary.mkdir()
    folder = short_folder / "my shop"
    for again in (False, True):
        printed = run([*nox, "--", str(folder)], ROOT, TMPDIR=str(temporary)).stdout
        assert ("is a project already" in printed) is again
        for step in (
            "Running upgrade  -> 0001, initial",
            "201 Created",
            '"name": "Lamp"',
            '"next_cursor": null',
            '"name": "Desk lamp"',
            "204 No Content",
            "404 Not Found",
            "No new upgrade operations detected.",
            "    uv run nox -s dev ",
            "    uv run pytest ",
        ):
            assert step in printed
        [cd] = re.findall(r"^ {4}(cd .*)$", printed, re.MULTILINE)
        assert run(["sh", "-c", f"{cd} && pwd"], short_folder).stdout.strip() == str(folder)
        assert (folder / ".venv").exists()
        assert not outliving(temporary)
        assert not left_in(temporary)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_serves_until_it_is_stopped(short_folder: Path, how: signal.Signals) -> None:
    nox = [sys.executable, "-m", "nox", "--envdir", str(short_folder / "nox"), "--session", "demo"]
    with interrupted([*nox, "--", "--serve"], ROOT, short_folder, how) as output:
        printed = output.wait_for("(Ctrl-C stops everything)")
        address = re.search(r"Try it: (http://\S+)", printed)
        assert address
        with urlopen(address[1]) as response:
            assert b"swagger-ui" in response.read()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--sirve"], "is not [FOLDER] [--serve]"),
        (["one", "two"], "is not [FOLDER] [--serve]"),
        (["."], "holds something else; name a new folder"),
    ],
)
def test_the_demo_refuses_what_it_cannot_do(
    short_folder: Path, arguments: list[str], reason: str
) -> None:
    nox = [sys.executable, "-m", "nox", "--envdir", str(short_folder / "nox"), "--session", "demo"]
    assert reason in run([*nox, "--", *arguments], ROOT, status=1).stdout


def test_the_import_that_the_readme_shows_is_tested() -> None:
    readme = (ROOT / "template/README.md.jinja").read_text("utf-8")
    [code] = re.findall(r"```python\n(async def import_all.*?)```", readme, re.DOTALL)
    tests = (ROOT / "template/tests/core/test_repository.py").read_text("utf-8")
    assert textwrap.indent(code, "    ") in tests
