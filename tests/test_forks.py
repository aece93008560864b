"""A command in a fork does what it does in a process of its own."""

import re
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.support.projects import Project

SHOWN = """
import json, os, sys, threading
print(json.dumps([
    sys.argv, sys.path, os.getcwd(), sorted(os.environ.items()), __name__, sys.flags,
    signal.getsignal(signal.SIGINT) is signal.default_int_handler, threading.active_count(),
    sys.stdout.encoding, sys.stdout.line_buffering, sys.executable, sys.warnoptions,
]))
print("among the output", file=sys.stderr)
"""
CODE = f"import signal\n{SHOWN}"


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    made = project("sqlite")
    (made.path / "shown.py").write_text(CODE, "utf-8")
    return made


@pytest.mark.parametrize("arguments", [("-m", "shown", "x"), ("-c", CODE, "x"), ("shown.py", "x")])
def test_forked_commands_get_the_same_arguments_paths_and_variables(
    made: Project, arguments: tuple[str, ...]
) -> None:
    variables = {"MINE": "1 é", "PYTHONPATH": str(made.path.parent)}
    forked = made.python(*arguments, status=0, **variables).stdout
    assert "among the output" in forked
    assert forked == made.fresh.python(*arguments, status=0, **variables).stdout


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
        ("import atexit; atexit.register(print, 'last'); print('first')", 0),
        ("from threading import Timer; Timer(0.1, print, ['last']).start(); print('first')", 0),
    ],
)
def test_forked_commands_exit_like_separate_processes(
    made: Project, code: str, status: int
) -> None:
    forked = made.python("-c", code, status=status).stdout
    fresh = made.fresh.python("-c", code, status=status).stdout
    assert forked.splitlines()[-1:] == fresh.splitlines()[-1:]


def test_commands_of_an_environment_are_forked(made: Project) -> None:
    parent = "import os; print(os.getppid())"
    assert made.python("-c", parent).stdout == made.python("-c", parent).stdout
    assert made.fresh.python("-c", parent).stdout != made.python("-c", parent).stdout
    assert re.search(r"^alembic \d", made.run("alembic", "--version").stdout)


def test_the_fork_server_imports_nothing_of_the_project(made: Project) -> None:
    found = "import sys; print([name for name in sys.modules if name.startswith(('app', 'tests'))])"
    assert made.python("-c", found).stdout == "[]\n"


def test_a_command_that_takes_too_long_is_killed(
    made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.projects.COMMAND_TIMEOUT", 1)
    with pytest.raises(subprocess.TimeoutExpired):
        made.python("-c", "import time; time.sleep(60)")
    assert made.python("-c", "print('next')").stdout == "next\n"
