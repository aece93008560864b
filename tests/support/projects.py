"""Rendering the template, and running commands in what it renders."""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import copier
import pytest
import yaml

from tests.support.forks import Forks

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
TEMPLATE_PARTS = (
    *("CHANGELOG.md", "copier.yml", "features.jinja", "moves.jinja", "naming.jinja", "template"),
    "updates.jinja",
    "users_openapi.jinja",
)
CONFIGURATION = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
QUESTIONS = {
    name
    for name, question in CONFIGURATION.items()
    if not name.startswith("_") and question.get("when") is not False and question.get("ask", True)
}
FEATURES = [*CONFIGURATION["features"]["choices"].values()]
AUTH = [*CONFIGURATION["auth"]["choices"].values()]
DATABASES = ("postgresql", "mysql", "sqlite")
# Of database URLs, and the kinds of database that they belong to.
SCHEMES = {name: name for name in DATABASES} | {"mariadb": "mysql"}
COMMAND_TIMEOUT = 600
SECONDS_TO_STOP = 20


def copy_template(destination: Path) -> Path:
    """Copy the template's files, as they are now, to a folder."""
    destination.mkdir(exist_ok=True)
    # Tests of the template's tools leave bytecode beside them, which git ignores.
    ignore = shutil.ignore_patterns("__pycache__")
    for part in TEMPLATE_PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, destination / part, ignore=ignore)
        else:
            shutil.copy(ROOT / part, destination / part)
    return destination


def render(
    template: Path, destination: Path, *, version: str | None = None, **answers: Any
) -> Path:
    """Render a project with these answers instead of the defaults.

    Raises ValueError for an answer that no question asks.
    """
    check_names(answers)
    ref = f"v{version}" if version else None
    copier.run_copy(
        str(template), destination, vcs_ref=ref, data=answers, defaults=True, quiet=True
    )
    return destination


def update(project: Path, *, version: str | None = None, **answers: Any) -> None:
    """Update a project to a version, by default the newest, with changed answers.

    Raises ValueError as `render` does.
    """
    check_names(answers)
    ref = f"v{version}" if version else None
    copier.run_update(project, vcs_ref=ref, data=answers, defaults=True, overwrite=True, quiet=True)


def check_names(answers: Mapping[str, Any]) -> None:
    """Raise ValueError for an answer to no question: Copier would take the default in silence."""
    if unknown := answers.keys() - QUESTIONS:
        raise ValueError(f"unknown questions {sorted(unknown)}; known: {sorted(QUESTIONS)}")


@dataclass(frozen=True)
class Served:
    """A project as uvicorn serves it."""

    process: "subprocess.Popen[bytes]"
    address: str
    log: Path


@dataclass(frozen=True)
class Project:
    """A rendered project, the environment that holds what it needs, and mypy's cache for that."""

    path: Path
    environment: Path
    types: Path
    # Python commands run in forks of a process that has imported the environment's packages.
    forked: bool = False

    @property
    def fresh(self) -> "Project":
        """The project, for commands that need a process that has imported nothing yet."""
        return replace(self, forked=False)

    def run(
        self, *command: str, status: int = 0, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment in the project; fail unless it ends with `status`."""
        programs = Path(self.program("python")).parent
        variables = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "UV_PROJECT_ENVIRONMENT": str(self.environment),
            "MYPY_CACHE_DIR": str(self.types),
            **variables,
        }
        if not self.forked or not can_fork(command, variables):
            return run(command, self.path, status=status, **variables)
        name, *arguments = command
        if name != "python":
            arguments = [self.program(name), *arguments]
        if "pytest" in command and self.database != "sqlite":
            variables.setdefault("TEST_DATABASE_URL", shared_server(self.environment))
        server = forks(self.program("python"), self.environment)
        variables = clean_environment(self.path) | variables
        done = server.run(arguments, self.path, variables, COMMAND_TIMEOUT)
        assert done.returncode == status, f"{command} gave {done.returncode}:\n{done.stdout}"
        return done

    def python(
        self, *arguments: str, status: int = 0, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        return self.run("python", *arguments, status=status, **variables)

    def with_server(self, *commands: Sequence[str]) -> str:
        """Run commands one after the other on one private server; return what they print."""
        path = str(self.path)
        with self.server() as url:
            done = [self.run(*words, DATABASE_URL=url, PYTHONPATH=path) for words in commands]
        return "".join(command.stdout for command in done)

    @property
    def database(self) -> str:
        """Return the kind of database that the environment is for."""
        return self.environment.name.rpartition("-")[2]

    @contextmanager
    def server(self) -> Iterator[str]:
        """Yield the URL of a new database, on the server that the tests of a worker share."""
        if self.database == "sqlite":
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                yield f"sqlite:///{folder}/app.db"
            return
        server = shared_server(self.environment)
        with new_database(self.environment, server, f"test_{next(DATABASE_NUMBERS)}") as url:
            yield url

    @contextmanager
    def private_server(self, folder: Path, *programs: Path) -> Iterator[str]:
        """Run a server of the project's own, its files in a folder; yield its database's URL.

        On PostgreSQL, `programs` is another folder with initdb.
        """
        if given_server(self.database):
            pytest.skip("TEST_DATABASE_URL is set, and this test needs a server of its own")
        script = str(SUPPORT / "serve_database.py")
        folders = (folder, initialized(self.environment), *programs)
        with subprocess.Popen(
            [self.program("python"), script, *map(str, folders)],
            cwd=self.path,
            env=clean_environment(self.path) | {"PYTHONPATH": str(self.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            try:
                yield process.stdout.readline().strip()
            finally:
                process.stdin.close()
                process.wait(COMMAND_TIMEOUT)

    @contextmanager
    def serve(
        self, url: str, application: str = "app.main:create_app", **variables: str
    ) -> Iterator["Served"]:
        """Serve the project, or another application in its folder; each has a log of its own."""
        command = ["-m", "uvicorn", "--factory", application, "--port", "0"]
        with NamedTemporaryFile(dir=self.path.parent, suffix=".log", delete=False) as output:
            process = subprocess.Popen(
                [self.program("python"), *command],
                cwd=self.path,
                env=clean_environment(self.path) | {"DATABASE_URL": url} | variables,
                stdout=output,
                stderr=output,
            )
        log = Path(output.name)
        try:
            while not (found := re.search(r"running on (http://[\d.:]+)", log.read_text("utf-8"))):
                assert process.poll() is None, log.read_text("utf-8")
                time.sleep(0.05)
            yield Served(process, found[1], log)
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def sql(self, url: str, *statements: str) -> list[list[Any]]:
        """Execute statements, after --autocommit in no transaction; return the last one's rows."""
        script = str(SUPPORT / "execute_sql.py")
        path = str(self.path)
        printed = self.python(script, *statements, DATABASE_URL=url, PYTHONPATH=path).stdout
        rows: list[list[Any]] = json.loads(printed)
        return rows

    def program(self, name: str) -> str:
        """Return the path of a program of the environment."""
        return str(self.environment / ("Scripts" if sys.platform == "win32" else "bin") / name)


def can_fork(command: Sequence[str], variables: Mapping[str, str]) -> bool:
    """Return whether a fork does what a process of its own does: see forks.py."""
    read_at_start = {name for name in variables if name.startswith("PYTHON")} - {"PYTHONPATH"}
    match command:
        case ["python", "-m" | "-c", *_] | ["alembic" | "lint-imports", *_]:
            return not read_at_start
        case ["python", file, *_]:
            return not read_at_start and not file.startswith("-")
    return False


# Of this worker.
DATABASE_NUMBERS = count(1)
# As the template's own servers and tests make databases.
CHARACTER_SETS = {"postgresql": "", "mysql": "CHARACTER SET utf8mb4"}
# A test that failed may have left a process that is still connected.
DROP_OPTIONS = {"postgresql": "WITH (FORCE)", "mysql": ""}


def shared_project(environment: Path) -> Project:
    """Return the project that an environment was installed for."""
    path = environment.with_name(f"installed-{environment.name.rpartition('-')[2]}")
    return Project(path, environment, path.with_name("types"), forked=True)


def initialized(environment: Path) -> Path:
    """Return the folder with the files of a new server, which each private one begins with."""
    return environment.with_name(f"data-{environment.name.rpartition('-')[2]}")


def initialize_server(environment: Path) -> None:
    """Make the files of a new server; they need not outlive the machine."""
    folder = initialized(environment)
    project = shared_project(environment)
    with project.private_server(folder) as url:
        # MariaDB ignores a SIGTERM that arrives right after it begins to listen.
        project.sql(url, "SELECT 1")
    if (settings := folder / "data/postgresql.conf").exists():
        with settings.open("a", encoding="utf-8") as file:
            file.write("fsync = off\n")


def given_server(database: str) -> str | None:
    """Return TEST_DATABASE_URL, if it is the URL of a server of this kind."""
    url = os.environ.get("TEST_DATABASE_URL", "")
    return url if SCHEMES.get(urlsplit(url).scheme) == database else None


@contextmanager
def new_database(environment: Path, server: str, name: str) -> Iterator[str]:
    """Create a database on a server, yield its URL, and drop it from a server that was given."""
    database, sql = shared_project(environment).database, shared_project(environment).sql
    given = given_server(database)
    # The workers share a server that was given, and earlier runs may have left databases on it.
    name = re.sub(r"\W", "_", f"{urlsplit(server).path[1:]}_{name}") if given else name
    drop = [f"DROP DATABASE IF EXISTS {name} {DROP_OPTIONS[database]}"] if given else []
    create = f"CREATE DATABASE {name} {CHARACTER_SETS[database]}"
    sql(server, "--autocommit", *drop, create)
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        if drop:
            sql(server, "--autocommit", *drop)


@cache
def shared_server(environment: Path) -> str:
    """Return the URL of this worker's database, on the server that was given or on its own.

    Its own server is started by the first call.
    """
    stack = ExitStack()
    if given := given_server(shared_project(environment).database):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "only")
        url = stack.enter_context(new_database(environment, given, worker))
        atexit.register(stack.close)
        return url
    atexit.register(stack.close)
    folder = stack.enter_context(TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True))
    return stack.enter_context(shared_project(environment).private_server(Path(folder)))


@cache
def forks(python: str, environment: Path) -> Forks:
    """Return the process that forks for an environment; each worker starts it once."""
    variables = clean_environment(environment)
    # Of a single test; each command gets its own.
    variables.pop("PYTHONPATH", None)
    return Forks(python, variables)


def run(
    command: Sequence[str], folder: Path, *, status: int = 0, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command, its errors among its output; fail with both unless it ends with `status`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(folder) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    assert done.returncode == status, f"{command} gave {done.returncode}:\n{done.stdout}"
    return done


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment for a command in a folder, without what belongs to this test run."""
    ours = (
        *("PYTEST_", "NOX_", "DATABASE_", "TEST_DATABASE_", "MIGRATION_"),
        *("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"),
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # A nested pytest would close this one's folder to the user under whom root runs PostgreSQL.
    # A module that a test edits twice within a second must not run from a stale bytecode cache.
    return inherited | {"PYTEST_DEBUG_TEMPROOT": str(folder.parent), "PYTHONDONTWRITEBYTECODE": "1"}
