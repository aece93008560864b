from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import String, event, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from app.core import dialect
from app.core.database import SessionDep, SessionFactory, create_session_factory
from app.core.driver_errors import translate_driver_errors
from app.core.models import UtcDateTime
from app.core.settings import Settings

# The message of uvloop.
CLOSED = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine without listeners."""
    engine = dialect.create_engine(settings.database.url)
    yield engine
    await engine.dispose()


@pytest.fixture
def session_factory(engine: AsyncEngine) -> SessionFactory:
    return create_session_factory(engine)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionRefusedError(111, "refused"), 503),
        (TimeoutError(), 503),
        (EOFError(), 503),
        (RuntimeError(CLOSED), 503),
        (RuntimeError("a programming error"), 500),
    ],
)
async def test_failed_connection_is_503(
    lenient_client: httpx2.AsyncClient,
    app: FastAPI,
    engine: AsyncEngine,
    error: Exception,
    status: int,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise error

    def use_fail(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        options["async_creator_fn"] = fail

    event.listen(engine.sync_engine, "do_connect", use_fail)
    translate_driver_errors(engine.sync_engine)

    @app.get("/needed")
    async def needed(session: SessionDep) -> None:
        await session.connection()

    assert (await lenient_client.get("/needed")).status_code == status


@pytest.mark.parametrize(
    ("column_type", "value"),
    [
        (UtcDateTime(), datetime(2026, 2, 28)),  # noqa: DTZ001
        (UtcDateTime(), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        (String(), "\ud800"),
    ],
    ids=["no time zone", "out of range in UTC", "surrogate"],
)
async def test_value_that_cannot_be_bound_is_422(
    client: httpx2.AsyncClient,
    app: FastAPI,
    engine: AsyncEngine,
    column_type: TypeEngine[Any],
    value: object,
) -> None:
    translate_driver_errors(engine.sync_engine)

    @app.get("/compared")
    async def compared(session: SessionDep) -> None:
        await session.execute(select(literal(value, column_type)))

    assert (await client.get("/compared")).status_code == 422
