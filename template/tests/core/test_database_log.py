import socket
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import URL
from structlog.testing import capture_logs

from app.core.database import SessionDep, create_engine, create_session_factory
from app.core.settings import DatabaseSettings, Settings

HIDDEN = "s3cret"
# Without a name server, resolving it takes longer than /health/ready waits.
UNKNOWN_HOST = "no-such-host.invalid"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as closed:
        # Bound, so that nothing else uses the port, but not listening.
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture(autouse=True)
def connecting(app: FastAPI) -> None:
    @app.get("/connection")
    async def connect(session: SessionDep) -> None:
        await session.connection()


def unavailable(url: URL, port: int) -> list[URL]:
    """Return URLs with a wrong database, role, port or host; for a file, only the first."""
    missing = url.set(database="/missing/database")
    if url.get_backend_name() == "sqlite":
        return [missing]
    closed = url.set(host="127.0.0.1", port=port, query={}, password=HIDDEN)
    return [
        missing,
        url.set(username="nobody", password=HIDDEN),
        closed,
        closed.set(host=UNKNOWN_HOST),
    ]


async def test_each_503_of_the_database_logs_its_cause(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings, closed_port: int
) -> None:
    for url in unavailable(settings.database.url, closed_port):
        engine = create_engine(DatabaseSettings.model_construct(url=url, statement_timeout=1))
        app.state.session_factory = create_session_factory(engine)
        for path in ("/connection", "/health/ready"):
            with capture_logs() as lines:
                response = await client.get(path)
            assert response.status_code == 503
            [line] = [line for line in lines if line["event"] == "database unavailable"]
            assert line["log_level"] == "warning"
            assert line["error"]
            assert url.host == UNKNOWN_HOST or {"code", "reason"} <= line.keys()
            assert HIDDEN not in str(line)
            assert "exc_info" not in line
        await engine.dispose()


async def test_an_exhausted_pool_is_logged(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings
) -> None:
    limits = {"pool_size": 1, "pool_timeout": 0.01}
    engine = create_engine(settings.database.model_copy(update=limits))
    app.state.session_factory = create_session_factory(engine)
    async with engine.connect():
        for path in ("/connection", "/health/ready"):
            with capture_logs() as lines:
                response = await client.get(path)
            assert response.status_code == 503
            [line] = [line for line in lines if line["event"] == "database unavailable"]
            assert line["reason"].startswith("QueuePool limit of size 1 overflow 0 reached")
    await engine.dispose()
