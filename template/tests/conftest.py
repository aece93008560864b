import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import httpx2
import pytest
from alembic.config import Config
from fastapi import FastAPI
from pydantic_settings import BaseSettings
from sqlalchemy import URL, Table, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker

from app.core import dialect, migrations
from app.core.autogenerate import is_shared
from app.core.database import SessionFactory, create_engine
from app.core.models import Base
from app.core.settings import PROJECT_ROOT, DatabaseSettings, Settings
from app.main import create_app
from tests.database_server import ServerError, ServerMissingError, new_database, run_server

SERVER = "TEST_DATABASE_URL"
REASON = "TEST_DATABASE_UNAVAILABLE"

StatementLimit: TypeAlias = Callable[[int], AbstractContextManager[None]]
# How statements begin that open and close transactions.
TRANSACTIONS = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT")


def pytest_configure(config: pytest.Config) -> None:
    """Start one private server for all workers, unless TEST_DATABASE_URL names another."""
    if SERVER in os.environ or REASON in os.environ or config.option.collectonly:
        return
    # A test run that is terminated stops its server, as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack = ExitStack()
    config.add_cleanup(stack.close)
    folder = stack.enter_context(TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True))
    try:
        variable, value = SERVER, stack.enter_context(run_server(Path(folder) / "data"))
    except ServerError as error:
        if os.environ.get("CI") or not isinstance(error, ServerMissingError):
            raise pytest.UsageError(str(error)) from None
        variable, value = REASON, str(error)
    os.environ[variable] = value
    stack.callback(os.environ.pop, variable)


@pytest.fixture(scope="session", autouse=True)
def _no_env_file() -> Iterator[None]:
    """Keep what a developer's `.env` says of the application out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for settings in BaseSettings.__subclasses__():
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
    """An engine on a database whose schema is what the migrations made."""
    engine = create_engine(settings.database)
    try:
        await migrations.upgrade(engine)
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture
async def empty_database(server_url: str) -> AsyncIterator[URL]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "tests")
    async with new_database(server_url, f"{worker}_empty") as text:
        url = dialect.parse_url(text)
        await create_shared_tables(url)
        yield url


def shared_tables() -> list[Table]:
    """Return the tables of somebody else that our models describe, to refer to them."""
    patterns = migrations.shared_tables(Config(PROJECT_ROOT / "alembic.ini"))
    tables = Base.metadata.sorted_tables
    return [table for table in tables if is_shared(table.name, patterns)]


async def create_shared_tables(url: URL) -> None:
    """Do what somebody else has done before our migrations run."""
    if tables := shared_tables():
        engine = dialect.create_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all, tables=tables)
        await engine.dispose()


@pytest.fixture
async def connection(empty_database: URL) -> AsyncIterator[AsyncConnection]:
    """A connection to a database without a table of ours."""
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
        app = create_app(settings)
        app.state.session_factory = session_factory
        return app

    return make


@pytest.fixture
def app(configured_app: Callable[..., FastAPI]) -> FastAPI:
    return configured_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client; an exception that the application does not handle fails the test."""
    async with connect(app) as client:
        yield client


@pytest.fixture
async def lenient_client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that gets the 500 for what the application does not handle."""
    async with connect(app, raise_errors=False) as client:
        yield client


def connect(
    app: FastAPI, base_url: str = "http://test", *, raise_errors: bool = True
) -> httpx2.AsyncClient:
    """Return a client that raises what the application does not handle, or gets the 500 for it."""
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
        assert len(seen) <= count, f"{len(seen)} statements, at most {count} wanted:\n\n{listed}"

    return limit
