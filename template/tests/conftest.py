import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import httpx2
import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from dotenv import dotenv_values
from fastapi import FastAPI
from pydantic_settings import BaseSettings
from sqlalchemy import URL, Connection, Table, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.schema import CreateSchema

from app.core import dialect, migrations
from app.core.database import SessionFactory, create_engine
from app.core.migrations import alembic_config
from app.core.migrations.autogenerate import is_shared
from app.core.models import Base
from app.core.settings import PROJECT_ROOT, DatabaseSettings, EnvironmentSettings, Settings
from app.main import create_app
from tools.database_server import ServerError, ServerMissingError, new_database, run_server

SERVER = "TEST_DATABASE_URL"
REASON = "TEST_DATABASE_UNAVAILABLE"
# The template's own tests; see docs/testing.md.
CORE_TESTS = PROJECT_ROOT / "tests" / "core"
DRIFT = "The models and the migrations differ"
GENERATE_REVISION = (
    'generate the revision first: uv run alembic revision --autogenerate -m "…"; or, if the'
    " initial revision has not been applied to any database, rewrite it: uv run nox -s initial"
)

StatementLimit: TypeAlias = Callable[[int], AbstractContextManager[None]]
# Those of features.
pytest_plugins = [
    f"tests.core.{path.parent.name}.fixtures" for path in CORE_TESTS.glob("*/fixtures.py")
]
# How statements begin that open and close transactions.
TRANSACTIONS = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run tests/core")


def pytest_configure(config: pytest.Config) -> None:
    """Start one private server for all workers, unless TEST_DATABASE_URL names another."""
    # Inherited by processes that tests start.
    os.environ.update(read_test_settings())
    no_paths_given = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if no_paths_given and not config.option.all:
        config.option.ignore = [*(config.option.ignore or ()), str(CORE_TESTS)]
    if SERVER in os.environ or REASON in os.environ or config.option.collectonly:
        return
    # A test run that is terminated stops its server, as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = ExitStack()
    config.add_cleanup(stack.close)
    folder = stack.enter_context(TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True))
    try:
        server = run_server(Path(folder) / "data", durable=False)
        variable, value = SERVER, stack.enter_context(server)
    except ServerError as error:
        if os.environ.get("CI") or not isinstance(error, ServerMissingError):
            raise pytest.UsageError(str(error)) from None
        variable, value = REASON, str(error)
    os.environ[variable] = value
    stack.callback(os.environ.pop, variable)


def read_test_settings() -> dict[str, str]:
    """Return the variables of tests/settings.env."""
    values = dotenv_values(PROJECT_ROOT / "tests" / "settings.env", encoding="utf-8")
    return {name: value for name, value in values.items() if value is not None}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that passed only because drift skipped the tests."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", ()) if reporter else ()
    if any(DRIFT in str(report.longrepr) for report in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _no_env_file() -> Iterator[None]:
    """Ignore the developer's `.env`."""
    with pytest.MonkeyPatch.context() as patch:
        for settings in [*BaseSettings.__subclasses__(), *EnvironmentSettings.__subclasses__()]:
            patch.setitem(settings.model_config, "env_file", None)
        yield


@pytest.fixture(scope="session")
def server_url() -> str:
    if SERVER not in os.environ:
        pytest.skip(os.environ[REASON])
    return os.environ[SERVER]


@pytest.fixture(scope="session")
async def settings(server_url: str) -> AsyncIterator[Settings]:
    """Settings for a database of this worker's own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "tests")
    async with new_database(server_url, worker) as url:
        await create_shared_tables(dialect.parse_url(url))
        yield Settings(database=DatabaseSettings.model_validate({"url": url}))


@pytest.fixture(scope="session")
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine on a database whose schema the migrations created."""
    engine = create_engine(settings.database)
    try:
        await migrations.upgrade(engine)
        async with engine.connect() as connection:
            if await connection.run_sync(find_drift):
                pytest.skip(f"{DRIFT}; {GENERATE_REVISION}")
        yield engine
    finally:
        await engine.dispose()


def find_drift(connection: Connection) -> str | None:
    """Return how the models differ from a migrated database, or cannot be compared, or None."""
    try:
        command.check(alembic_config(connection))
    except CommandError as error:
        return str(error)
    return None


@pytest.fixture
async def empty_database(server_url: str) -> AsyncIterator[URL]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "tests")
    async with new_database(server_url, f"{worker}_empty") as text:
        url = dialect.parse_url(text)
        await create_shared_tables(url)
        yield url


def shared_tables() -> list[Table]:
    """Return the shared tables that models describe in order to reference them."""
    patterns = migrations.shared_table_patterns(Config(PROJECT_ROOT / "alembic.ini"))
    tables = Base.metadata.tables.values()
    return [table for table in tables if is_shared(table.name, patterns, table.schema)]


async def create_shared_tables(url: URL) -> None:
    """Create the tables that another application owns."""
    if tables := shared_tables():
        engine = dialect.create_engine(url)
        async with engine.begin() as connection:
            for schema in {table.schema for table in tables if table.schema}:
                await connection.execute(CreateSchema(schema, if_not_exists=True))
            await connection.run_sync(Base.metadata.create_all, tables=tables)
        await engine.dispose()


@pytest.fixture
async def connection(empty_database: URL) -> AsyncIterator[AsyncConnection]:
    """A connection to an empty database; it has at most the shared tables."""
    engine = dialect.create_engine(empty_database)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions whose commits are savepoints of a transaction that is rolled back."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        yield async_sessionmaker(
            connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        )
        await transaction.rollback()


@pytest.fixture
def configured_app(
    settings: Settings, session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FastAPI]:
    """Make an application with variables in the environment."""

    def make(**variables: str) -> FastAPI:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        app = create_app(settings, configure_logging=False)
        app.state.session_factory = session_factory
        return app

    return make


@pytest.fixture
def app(configured_app: Callable[..., FastAPI]) -> FastAPI:
    return configured_app()


@pytest.fixture
async def lenient_client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that gets a 500 for an unhandled exception of the application."""
    async with connect(app, raise_errors=False) as client:
        yield client


def connect(
    app: FastAPI, base_url: str = "http://test", *, raise_errors: bool = True
) -> httpx2.AsyncClient:
    """Return a client that raises unhandled exceptions of the application, or gets the 500."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=raise_errors)
    return httpx2.AsyncClient(transport=transport, base_url=base_url)


@pytest.fixture
def statement_limit(engine: AsyncEngine) -> StatementLimit:
    """`with statement_limit(2):` fails, and shows the statements, if there are more inside."""

    @contextmanager
    def limit(count: int) -> Iterator[None]:
        seen: list[str] = []

        def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if not statement.startswith(TRANSACTIONS):
                seen.append(statement)

        event.listen(engine.sync_engine, "before_cursor_execute", see)
        try:
            yield
        finally:
            event.remove(engine.sync_engine, "before_cursor_execute", see)
        listed = "\n\n".join(seen)
        assert len(seen) <= count, f"{len(seen)} statements, expected at most {count}:\n\n{listed}"

    return limit


# Add your own fixtures below; template updates add theirs above.


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client; an unhandled exception of the application fails the test."""
    async with connect(app) as client:
        yield client
