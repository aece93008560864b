import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker

from app.core import dialect
from app.core.database import SessionFactory, create_engine
from app.core.migrations import upgrade
from app.core.settings import DatabaseSettings, Settings
from app.main import create_app
from tests.database_server import ServerError, ServerMissingError, new_database, run_server

SERVER = "TEST_DATABASE_URL"
REASON = "TEST_DATABASE_UNAVAILABLE"


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
        yield Settings(database=DatabaseSettings.model_validate({"url": url}))


@pytest.fixture(scope="session")
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine on a database whose schema is what the migrations made."""
    engine = create_engine(settings.database)
    try:
        await upgrade(engine)
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture
async def empty_database(server_url: str) -> AsyncIterator[URL]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "tests")
    async with new_database(server_url, f"{worker}_empty") as url:
        yield dialect.parse_url(url)


@pytest.fixture
async def connection(empty_database: URL) -> AsyncIterator[AsyncConnection]:
    """A connection to an empty database."""
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
def app(settings: Settings, session_factory: SessionFactory) -> FastAPI:
    app = create_app(settings)
    app.state.session_factory = session_factory
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
