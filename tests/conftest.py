import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.support.environments import copy_template_once, create_once, install_environment
from tests.support.projects import DATABASES, ROOT, Project, given_server, render
from tests.support.repositories import WORKING_TREE, commit, git, make_repository

# Ignore the developer's git configuration, and allow a checkout owned by another user.
os.environ |= {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    # `git status` must not take the lock of a repository in use.
    "GIT_OPTIONAL_LOCKS": "0",
}

MARIADB_MISSING = (
    "neither mariadbd nor mysqld is on the PATH; install one (apt-get install mariadb-server), or"
    " set TEST_DATABASE_URL to the URL of a running server"
)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn."""
    return str(request.param)


def require_database(name: str) -> None:
    """Skip, or fail under CI, where a database is missing."""
    installed = any(map(shutil.which, ("mariadbd", "mysqld")))
    if name == "mysql" and not installed and not given_server(name):
        if os.environ.get("CI"):
            pytest.fail(MARIADB_MISSING)
        pytest.skip(MARIADB_MISSING)


def pytest_runtest_setup(item: pytest.Item) -> None:
    require_database(database_of(item))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=DATABASES, help="run only the tests on this database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other databases, if one is chosen, and start with the long tests."""
    if chosen := config.option.database:
        others = [item for item in items if database_of(item) != chosen]
        items[:] = [item for item in items if database_of(item) == chosen]
        config.hook.pytest_deselected(items=others)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def database_of(item: pytest.Item) -> str:
    """Return the database of a test: its parameter's, its mark's, or SQLite."""
    parameters = getattr(item, "callspec", None)
    for value in parameters.params.values() if parameters else ():
        if value in DATABASES:
            return str(value)
    mark = item.get_closest_marker("database")
    return str(mark.args[0]) if mark else "sqlite"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all workers, and by all sessions of one nox run."""
    if folder := os.environ.get("TEST_SHARED_FOLDER"):
        return Path(folder)
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def copy_cached(shared: Path, path: Path, make: Callable[[Path], object], *key: object) -> Path:
    """Copy the files that one of the workers made for `key` to `path`, and return `path`."""
    original = shared / f"original-{sha256(repr(key).encode()).hexdigest()}"
    shutil.copytree(create_once(original, lambda: make(original)), path)
    return path


@pytest.fixture(scope="session")
def template(shared: Path) -> Path:
    return copy_template_once(shared)


@pytest.fixture(scope="session")
def environment(template: Path, shared: Path) -> Callable[[str], Path]:
    """What a project of each database needs, installed once for all workers."""

    @cache
    def install(database: str) -> Path:
        return install_environment(template, shared, database)

    return install


def make_project(
    path: Path, environment: Callable[[str], Path], shared: Path, database: str
) -> Project:
    """Return a rendered project, with mypy's cache of all projects of this worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "only")
    types = shared / f"types-{database}-{worker}"
    return Project(path, environment(database), types, forked=True)


@pytest.fixture(scope="session")
def repository(shared: Path) -> Path:
    """The template as a git repository, with each release and the working tree as versions."""
    folder = shared / "repository"
    return create_once(folder, lambda: make_repository(folder))


@pytest.fixture
def committed(
    repository: Path, shared: Path, environment: Callable[[str], Path], tmp_path: Path
) -> Callable[..., Project]:
    """Render a project of a version, SQLite by default, and commit it; each only once."""

    def make(version: str = WORKING_TREE, name: str = "project", **answers: Any) -> Project:
        answers = {"database": "sqlite", **answers}

        def render_and_commit(original: Path) -> None:
            render(repository, original, version=version, **answers)
            git(original, "init", "--quiet", "--initial-branch", "main")
            commit(original)

        key = (version, sorted(answers.items()))
        path = copy_cached(shared, tmp_path / name, render_and_commit, *key)
        return make_project(path, environment, shared, answers["database"])

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
        path = copy_cached(shared, tmp_path / "project", render_it, *key)
        return make_project(path, environment, shared, database)

    return make


@pytest.fixture(scope="module")
def lasting_project(
    template: Path,
    environment: Callable[[str], Path],
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Project]:
    """Render a project that the tests of a file share."""

    def make(database: str, **answers: Any) -> Project:
        folder = tmp_path_factory.mktemp(database)
        path = render(template, folder / "project", database=database, **answers)
        return make_project(path, environment, shared, database)

    return make


@pytest.fixture(scope="session")
def naming() -> Any:
    """The macros of naming.jinja, in an environment like Copier's."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("naming.jinja").module


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
