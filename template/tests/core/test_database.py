import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from sqlalchemy import AsyncAdaptedQueuePool, event, func, literal, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import database
from app.core.database import (
    SessionDep,
    SessionFactory,
    create_engine,
    create_session_factory,
    create_sync_engine,
    create_sync_session_factory,
    open_session,
    read_rows,
)
from app.core.settings import Settings

INSERT = text("INSERT INTO test__kept (id) VALUES (1)")
COUNT = select(func.count()).select_from(text("test__kept"))


@pytest.fixture
def session_factory(engine: AsyncEngine) -> SessionFactory:
    """Sessions that commit to the database."""
    return create_session_factory(engine)


@pytest.fixture
async def committing(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[FastAPI]:
    """The application, with a table to write to."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE test__kept (id INTEGER PRIMARY KEY)"))
    yield app
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE test__kept"))


async def count(engine: AsyncEngine) -> int | None:
    async with engine.connect() as connection:
        return await connection.scalar(COUNT)


async def test_handler_that_returns_commits_before_the_response(
    committing: FastAPI, client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    @committing.post("/keep")
    async def keep(session: SessionDep) -> None:
        await session.execute(INSERT)

    assert (await client.post("/keep")).status_code == 200
    assert await count(engine) == 1


async def test_handler_that_raises_rolls_back(
    committing: FastAPI, lenient_client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    @committing.post("/raise")
    async def fail(session: SessionDep) -> None:
        await session.execute(INSERT)
        raise LookupError

    assert (await lenient_client.post("/raise")).status_code == 500
    assert await count(engine) == 0


async def test_failed_savepoint_keeps_the_outer_transaction(
    committing: FastAPI, client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    @committing.post("/nest")
    async def nest(session: SessionDep) -> None:
        await session.execute(INSERT)
        with suppress(IntegrityError):
            async with session.begin_nested():
                await session.execute(text("INSERT INTO test__kept (id) VALUES (2)"))
                await session.execute(INSERT)
        async with session.begin_nested():
            await session.execute(text("INSERT INTO test__kept (id) VALUES (3)"))

    assert (await client.post("/nest")).status_code == 200
    async with engine.connect() as connection:
        kept = await connection.scalars(text("SELECT id FROM test__kept ORDER BY id"))
    assert kept.all() == [1, 3]


async def test_failed_commit_is_a_server_error(
    committing: FastAPI, lenient_client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    @committing.post("/lose")
    async def lose(session: SessionDep) -> None:
        await session.execute(INSERT)
        connection = await (await session.connection()).get_raw_connection()
        closing = connection.driver_connection.close()  # type: ignore[union-attr]
        if inspect.isawaitable(closing):
            await closing

    assert (await lenient_client.post("/lose")).status_code >= 500
    assert await count(engine) == 0


async def test_background_task_runs_after_the_commit(
    committing: FastAPI, client: httpx2.AsyncClient, engine: AsyncEngine
) -> None:
    counts: list[int | None] = []

    async def look() -> None:
        # Another connection sees only committed changes.
        counts.append(await count(engine))

    @committing.post("/keep")
    async def keep(session: SessionDep, tasks: BackgroundTasks) -> None:
        tasks.add_task(look)
        await session.execute(INSERT)

    assert (await client.post("/keep")).status_code == 200
    assert counts == [1]
    # A rejected insert gets no success response and runs no task.
    assert (await client.post("/keep")).status_code == 409
    assert counts == [1]


async def test_read_rows_releases_its_connection(
    engine: AsyncEngine, session_factory: SessionFactory
) -> None:
    async with session_factory() as session:
        [row] = await read_rows(session, select(literal(5).label("number")), {})
        assert row.number == 5
        assert not session.in_transaction()
        assert isinstance(engine.pool, AsyncAdaptedQueuePool)
        assert engine.pool.checkedout() == 0


@pytest.mark.usefixtures("committing")
async def test_read_rows_sees_changes_of_its_transaction(
    session_factory: SessionFactory,
) -> None:
    async with session_factory() as session:
        await session.execute(INSERT)
        assert list(await read_rows(session, COUNT, {})) == [(1,)]
        await session.rollback()
        assert list(await read_rows(session, COUNT, {})) == [(0,)]


@pytest.mark.parametrize("pre_ping", [True, False])
async def test_dead_idle_connection_is_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, pre_ping: bool
) -> None:
    monkeypatch.setattr(database, "PING_AFTER_IDLE", 0)
    changes = {"pool_size": 1, "pool_pre_ping": pre_ping}
    engine = create_engine(settings.database.model_copy(update=changes))
    async with engine.connect() as connection:
        dead = (await connection.get_raw_connection()).driver_connection
    closing = dead.close()  # type: ignore[union-attr]
    if inspect.isawaitable(closing):
        await closing
    if pre_ping:
        async with engine.connect() as connection:
            assert await connection.scalar(select(literal(1))) == 1
    else:
        with pytest.raises((DBAPIError, ValueError)):
            async with engine.connect() as connection:
                await connection.execute(select(literal(1)))
    await engine.dispose()


async def test_request_cancelled_during_rollback_returns_its_connection(
    settings: Settings,
) -> None:
    app = FastAPI()
    engine = create_engine(settings.database)
    app.state.session_factory = create_session_factory(engine)
    request = Request({"type": "http", "method": "POST", "app": app})
    lost: list[object] = []
    event.listen(engine.sync_engine, "invalidate", lambda *arguments: lost.append(arguments))
    returned, failing = asyncio.Event(), asyncio.Event()
    event.listen(engine.sync_engine, "checkin", lambda *_: returned.set())

    async def fail() -> None:
        async with asynccontextmanager(open_session)(request) as session:
            await session.execute(text("SELECT 1"))
            failing.set()
            raise LookupError

    call = asyncio.create_task(fail())
    await failing.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(returned.wait(), timeout=5)
    assert lost == []
    await engine.dispose()


async def test_pool_settings_are_applied(settings: Settings) -> None:
    changes = {"pool_size": 1, "max_overflow": 1, "pool_timeout": 0.1}
    engine = create_engine(settings.database.model_copy(update=changes))
    async with engine.connect(), engine.connect():
        with pytest.raises(PoolTimeoutError):
            await engine.connect()
    await engine.dispose()


def test_synchronous_session_commits_or_rolls_back(settings: Settings) -> None:
    engine = create_sync_engine(settings.database)
    factory = create_sync_session_factory(engine)
    with factory.begin() as session:
        session.execute(text("CREATE TABLE test__job (id INTEGER PRIMARY KEY)"))
    with suppress(ZeroDivisionError), factory.begin() as session:
        session.execute(text("INSERT INTO test__job VALUES (1)"))
        raise ZeroDivisionError
    with factory.begin() as session:
        session.execute(text("INSERT INTO test__job VALUES (2)"))
    with factory.begin() as session:
        assert session.scalars(text("SELECT id FROM test__job")).all() == [2]
        session.execute(text("DROP TABLE test__job"))
    engine.dispose()
