import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.projects import DATABASES, Project, copy_template, render, run
from tests.repositories import WORKING_TREE, commit, git, make_repository

# Nobody's own settings of git matter, and a checkout may belong to somebody else.
os.environ |= {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    # A look at a repository in which something else works must not lock it.
    "GIT_OPTIONAL_LOCKS": "0",
}

MARIADB_MISSING = (
    "neither mariadbd nor mysqld is on the PATH; install one: apt-get install mariadb-server"
)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn; one that is missing is a failure under CI."""
    return present(request.param)


def present(name: str) -> str:
    """Return the database's name; skip, or fail under CI, where it is missing."""
    if name == "mysql" and not any(map(shutil.which, ("mariadbd", "mysqld"))):
        if os.environ.get("CI"):
            pytest.fail(MARIADB_MISSING)
        pytest.skip(MARIADB_MISSING)
    return name


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def once(folder: Path, make: Callable[[], object]) -> Path:
    """Return a folder that one of the workers made."""
    complete = folder.with_name(f"{folder.name}.complete")
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            make()
            complete.touch()
    return folder


def copied(shared: Path, path: Path, make: Callable[[Path], object], *key: object) -> Path:
    """Return a path to which is copied what one of the workers made for this key."""
    original = shared / f"original-{sha256(repr(key).encode()).hexdigest()}"
    shutil.copytree(once(original, lambda: make(original)), path)
    return path


@pytest.fixture(scope="session")
def template(shared: Path) -> Path:
    folder = shared / "template"
    return once(folder, lambda: copy_template(folder))


@pytest.fixture(scope="session")
def environment(template: Path, shared: Path) -> Callable[[str], Path]:
    """What a project of each database needs, installed once for all workers."""

    @cache
    def install(database: str) -> Path:
        folder = shared / f"environment-{database}"

        def sync() -> None:
            project = render(template, shared / f"installed-{database}", database=database)
            run(["uv", "sync", "--quiet"], project, UV_PROJECT_ENVIRONMENT=str(folder))

        return once(folder, sync)

    return install


@pytest.fixture(scope="session")
def repository(shared: Path) -> Path:
    """The template as a git repository, with each release and the working tree as versions."""
    folder = shared / "repository"
    return once(folder, lambda: make_repository(folder))


@pytest.fixture
def committed(
    repository: Path, shared: Path, environment: Callable[[str], Path], tmp_path: Path
) -> Callable[..., Project]:
    """Render a project of a version, sqlite unless told, and commit it; each only once."""

    def make(version: str = WORKING_TREE, name: str = "project", **answers: Any) -> Project:
        answers = {"database": "sqlite", **answers}

        def render_and_commit(original: Path) -> None:
            render(repository, original, version=version, **answers)
            git(original, "init", "--quiet", "--initial-branch", "main")
            commit(original)

        key = (version, sorted(answers.items()))
        path = copied(shared, tmp_path / name, render_and_commit, *key)
        database = answers["database"]
        return Project(path, environment(database), tmp_path.parent / f"types-{database}")

    return make


@pytest.fixture
def project(
    template: Path, shared: Path, environment: Callable[[str], Path], tmp_path: Path
) -> Callable[..., Project]:
    """Render a project of its own for a test."""

    def make(database: str = "postgresql", **answers: Any) -> Project:
        def render_it(original: Path) -> None:
            render(template, original, database=database, **answers)

        key = (database, sorted(answers.items()))
        path = copied(shared, tmp_path / "project", render_it, *key)
        types = tmp_path.parent / f"types-{database}"
        return Project(path, environment(database), types)

    return make


@pytest.fixture(scope="module")
def lasting_project(
    template: Path,
    environment: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Project]:
    """Render a project that the tests of a file share."""

    def make(database: str, **answers: Any) -> Project:
        folder = tmp_path_factory.mktemp(database)
        path = render(template, folder / "project", database=database, **answers)
        return Project(path, environment(database), folder / "types")

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
