"""A started commit is completed, and the response reports its outcome."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import AsyncAdaptedQueuePool, func, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from app.core import database, dialect
from app.core.database import SessionDep, SessionFactory, create_session_factory
from app.core.settings import Settings

INSERT = text("INSERT INTO test__kept (id) VALUES (1)")
COUNT = select(func.count()).select_from(text("test__kept"))

# Called with the sender of the COMMIT: a cursor on SQLite, a connection elsewhere.
BeforeCommit: TypeAlias = Callable[[Callable[[Any], None]], None]
# The method of SQLAlchemy's dialect that commits; on SQLite, COMMIT is a normal statement.
SEND_COMMIT = "do_execute" if dialect.READ_ONLY else "do_commit"


@pytest.fixture
def session_factory(engine: AsyncEngine) -> SessionFactory:
    """Sessions that commit to the database."""
    return create_session_factory(engine)


@pytest.fixture
def before_commit(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> BeforeCommit:
    """Run a function before the next COMMIT is sent, where a driver waits for the server."""
    send = getattr(engine.dialect, SEND_COMMIT)

    def listen(function: Callable[[Any], None]) -> None:
        def run_and_send(sender: Any, *arguments: Any) -> None:
            if not arguments or arguments[0] == "COMMIT":
                monkeypatch.setattr(engine.dialect, SEND_COMMIT, send)
                function(sender)
            send(sender, *arguments)

        monkeypatch.setattr(engine.dialect, SEND_COMMIT, run_and_send)

    return listen


@pytest.fixture(autouse=True)
async def keeping(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE test__kept (id INTEGER PRIMARY KEY)"))

    @app.post("/keep")
    async def keep(session: SessionDep) -> None:
        await session.execute(INSERT)

    yield
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE test__kept"))


async def count(engine: AsyncEngine) -> int | None:
    async with engine.connect() as connection:
        return await connection.scalar(COUNT)


def checked_out(engine: AsyncEngine) -> int:
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    return engine.pool.checkedout()


def limit_commits(app: FastAPI, settings: Settings, seconds: float) -> None:
    changes = {"statement_timeout": seconds}
    limited = settings.database.model_copy(update=changes)
    app.state.settings = settings.model_copy(update={"database": limited})


async def test_started_commit_completes_despite_cancellation(
    client: httpx2.AsyncClient, engine: AsyncEngine, before_commit: BeforeCommit
) -> None:
    before_commit(lambda _: await_only(asyncio.sleep(0.3)))
    async with asyncio.timeout(0.1) as timeout:
        response = await client.post("/keep")
    assert timeout.expired()
    assert response.status_code == 200
    assert await count(engine) == 1
    assert checked_out(engine) == 0


async def test_cancellation_before_the_commit_rolls_back(
    client: httpx2.AsyncClient, app: FastAPI, engine: AsyncEngine
) -> None:
    @app.post("/slow")
    async def slow(session: SessionDep) -> None:
        await session.execute(INSERT)
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.post("/slow")
    assert await count(engine) == 0
    assert checked_out(engine) == 0


async def test_commit_without_confirmation_in_time_is_504(
    client: httpx2.AsyncClient,
    app: FastAPI,
    engine: AsyncEngine,
    settings: Settings,
    before_commit: BeforeCommit,
    caplog: pytest.LogCaptureFixture,
) -> None:
    limit_commits(app, settings, 0.1)
    before_commit(lambda _: await_only(asyncio.sleep(60)))
    response = await client.post("/keep")
    assert response.status_code == 504
    assert "Retry-After" not in response.headers
    detail = response.json()["detail"]
    assert "the database did not confirm it within 0.1 s" in detail
    assert "Idempotency-Key" in detail
    assert checked_out(engine) == 0
    assert await count(engine) == 0
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == [
        database.__name__
    ]


async def test_connection_that_does_not_close_is_dropped(
    client: httpx2.AsyncClient,
    app: FastAPI,
    engine: AsyncEngine,
    settings: Settings,
    before_commit: BeforeCommit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_commits(app, settings, 0.1)
    monkeypatch.setattr(database, "CLOSE_TIMEOUT", 0.1)

    def ignore_the_first_cancellation(_: object) -> None:
        try:
            await_only(asyncio.sleep(60))
        except asyncio.CancelledError:
            await_only(asyncio.sleep(60))

    before_commit(ignore_the_first_cancellation)
    async with asyncio.timeout(5):
        response = await client.post("/keep")
    assert response.status_code == 504
    assert checked_out(engine) == 0


async def test_connection_lost_during_the_commit_is_504(
    client: httpx2.AsyncClient, engine: AsyncEngine, before_commit: BeforeCommit
) -> None:
    def lose(sender: Any) -> None:
        connection = getattr(sender, "driver_connection", None) or sender._connection
        closing = connection.close()
        if inspect.isawaitable(closing):
            await_only(closing)

    before_commit(lose)
    response = await client.post("/keep")
    assert response.status_code == 504
    assert "Retry-After" not in response.headers
    assert await count(engine) == 0
    assert checked_out(engine) == 0


async def test_failed_commit_leaves_no_open_transaction(
    lenient_client: httpx2.AsyncClient, engine: AsyncEngine, before_commit: BeforeCommit
) -> None:
    before_commit(reject)
    assert (await lenient_client.post("/keep")).status_code == 500
    # A connection returned with its transaction open would see its own changes.
    assert await count(engine) == 0


async def test_failed_commit_is_not_retried_after_cancellation(
    client: httpx2.AsyncClient, engine: AsyncEngine, before_commit: BeforeCommit
) -> None:
    def delay_and_reject(sender: object) -> None:
        await_only(asyncio.sleep(0.3))
        reject(sender)

    before_commit(delay_and_reject)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.post("/keep")
    assert await count(engine) == 0


def reject(_: object) -> None:
    raise ProgrammingError("COMMIT", None, Exception())
