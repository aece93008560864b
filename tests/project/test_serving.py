"""A project is served and tested, and leaves nothing when it is interrupted."""

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.support.interruptions import interrupted
from tests.support.projects import Project, run


def test_a_project_of_each_database_is_served_twice(
    project: Callable[..., Project], database: str, short_folder: Path
) -> None:
    made = project(database)
    command = [str(made.environment / "bin" / "python"), "-m", "tools.serve", "--port", "0"]
    for how in (signal.SIGTERM, signal.SIGINT):
        with interrupted(command, made.path, short_folder, how) as output:
            output.wait_for("Uvicorn running on http")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_project_with_jobs_is_served_with_a_worker_that_is_restarted_after_a_change(
    project: Callable[..., Project], short_folder: Path, how: signal.Signals
) -> None:
    made = project("sqlite", features=["jobs"])
    command = [made.program("python"), "-m", "tools.serve", "--port", "0"]
    with interrupted(command, made.path, short_folder, how) as output:
        output.wait_for("Uvicorn running on http")
        output.wait_for("worker started")
        (made.path / "app/modules/item/jobs.py").write_text("print('handlers imported')\n")
        printed = output.wait_for("handlers imported")
        assert "no jobs claimed" not in printed


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_project_with_accounts_is_served_without_settings(
    project: Callable[..., Project], short_folder: Path, how: signal.Signals
) -> None:
    made = project("sqlite", features=["jobs", "mail"], auth="users")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [made.program("python"), "-m", "tools.serve", "--port", f"{port}"]
    with interrupted(command, made.path, short_folder, how) as output:
        printed = output.wait_for("Application startup complete")
        [administrator] = re.findall("For an administrator: (.*)", printed)
        path = os.pathsep.join([str(made.environment / "bin"), os.environ["PATH"]])
        created = run(
            ["sh", "-c", administrator.replace("uv run ", "")], made.path, PATH=path
        ).stdout
        assert "http://localhost:5173/accept-invitation#token=" in created
        request = Request(
            f"http://127.0.0.1:{port}/api/v1/auth/sign-up",
            b'{"email": "ada@example.com"}',
            {"Content-Type": "application/json", "Origin": "http://localhost:5173"},
        )
        with urlopen(request) as response:
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
        output.wait_for("Mail to ada@example.com: Verify your address for ")
        output.wait_for("    http://localhost:5173/verify-email#token=")


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
