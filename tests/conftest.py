import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.projects import DATABASES, Project, copy_template, render, run

MARIADB_MISSING = (
    "neither mariadbd nor mysqld is on the PATH; install one: apt-get install mariadb-server"
)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn; one that is missing is a failure under CI."""
    name: str = request.param
    if name == "mysql" and not any(map(shutil.which, ("mariadbd", "mysqld"))):
        if os.environ.get("CI"):
            pytest.fail(MARIADB_MISSING)
        pytest.skip(MARIADB_MISSING)
    return name


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_template(tmp_path_factory.mktemp("template") / "source")


@pytest.fixture(scope="session")
def environment(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What a project of each database needs, installed once for all workers."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    @cache
    def install(database: str) -> Path:
        folder = shared / f"environment-{database}"
        with FileLock(f"{folder}.lock"):
            if not (folder / "complete").exists():
                project = render(template, shared / f"installed-{database}", database=database)
                run(["uv", "sync", "--quiet"], project, UV_PROJECT_ENVIRONMENT=str(folder))
                (folder / "complete").touch()
        return folder

    return install


@pytest.fixture
def project(
    template: Path, environment: Callable[[str], Path], tmp_path: Path
) -> Callable[..., Project]:
    """Render a project of its own for a test."""

    def make(database: str = "postgresql", **answers: Any) -> Project:
        path = render(template, tmp_path / "project", database=database, **answers)
        types = tmp_path.parent / f"types-{database}"
        return Project(path, environment(database), types)

    return make


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder with a short name, for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what ran on which database, and what was skipped and why."""
    counts: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            counts[_database(report.nodeid), outcome] += 1
            if outcome == "skipped":
                reasons[f"{_database(report.nodeid)}: {report.longrepr[2]}"] += 1
    terminalreporter.section("databases")
    for name in (*DATABASES, "without a database"):
        found = [
            f"{count} {outcome}" for (where, outcome), count in counts.items() if where == name
        ]
        terminalreporter.line(f"{name}: {', '.join(found) or 'nothing ran'}")
    for reason, count in reasons.items():
        terminalreporter.line(f"skipped, {count} times: {reason}")
    if not reasons:
        terminalreporter.line("skipped: nothing")


def _database(nodeid: str) -> str:
    parameters = nodeid.partition("[")[2]
    return next((name for name in DATABASES if name in parameters), "without a database")
