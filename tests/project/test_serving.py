"""A project is served and tested, and leaves nothing when it is interrupted."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.interruptions import interrupted
from tests.support.projects import Project


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
