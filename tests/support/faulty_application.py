"""The application and a few routes that take their time: copied into a rendered project."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

from app.core.database import SessionDep
from app.main import create_app as create_real_app
from app.modules.item.schemas import ItemCreate
from app.modules.item.service import ItemService
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

CHUNKS = 100
CHUNK = b"." * 65536
RELOAD = "SELECT pg_reload_conf()"
SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}
RUNNING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist"
    " WHERE command = 'Query' AND id <> connection_id()",
}


# Statements that make commits wait, and that let them continue.
BLOCK = {
    "postgresql": ("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", RELOAD),
    "mysql": ("FLUSH TABLES WITH READ LOCK",),
}
UNBLOCK = {
    "postgresql": ("ALTER SYSTEM RESET synchronous_standby_names", RELOAD),
    "mysql": ("UNLOCK TABLES",),
}
# PostgreSQL's processes read settings with a delay.
SECONDS_TO_RELOAD = 0.5
CURRENT = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
# Violates a constraint at the commit; MariaDB and MySQL check all constraints earlier.
CLASH = {
    "postgresql": (
        "CREATE TEMPORARY TABLE once (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO once VALUES (1), (1)",
    ),
    "sqlite": (
        "CREATE TABLE part (item_id REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO part VALUES ('missing')",
    ),
}


async def execute(executor: AsyncSession | AsyncConnection, statements: Iterable[str]) -> None:
    for statement in statements:
        await executor.execute(text(statement))


async def block_commits(session: AsyncSession, engine: AsyncEngine, stack: AsyncExitStack) -> str:
    """Make every commit wait until the stack is closed; return SQL that kills the session."""
    name = engine.dialect.name
    own = await session.scalar(text(CURRENT[name]))
    connection = await stack.enter_async_context(engine.connect())
    await connection.execution_options(isolation_level="AUTOCOMMIT")
    await execute(connection, BLOCK[name])
    stack.push_async_callback(execute, connection, UNBLOCK[name])
    await asyncio.sleep(SECONDS_TO_RELOAD)
    return KILL[name].format(own)


async def sleep(session: AsyncSession, seconds: float) -> None:
    if statement := SLEEP.get(session.get_bind().dialect.name):
        await session.execute(text(statement.format(seconds)))
    else:
        await session.execute(text("SELECT 1"))
        await asyncio.sleep(seconds)


def create_app() -> FastAPI:
    app = create_real_app()

    @app.post("/write")
    async def write(session: SessionDep, name: str, seconds: float) -> None:
        await ItemService(session).create(ItemCreate(name=name))
        await sleep(session, seconds)

    @app.post("/write_slowly", status_code=201)
    async def write_slowly(
        session: SessionDep, request: Request, name: str, seconds: float, kill: bool = False
    ) -> None:
        """Write; the commit waits for some seconds, and then completes or is killed."""
        await ItemService(session).create(ItemCreate(name=name))
        engine: AsyncEngine = request.app.state.session_factory.kw["bind"]
        stack = AsyncExitStack()
        killing = await block_commits(session, engine, stack)

        async def unblock() -> None:
            async with stack:
                await asyncio.sleep(seconds)
                if kill:
                    async with engine.connect() as connection:
                        await connection.execute(text(killing))

        request.app.state.unblocking = asyncio.create_task(unblock())

    @app.post("/clash")
    async def clash(session: SessionDep) -> None:
        await execute(session, CLASH[session.get_bind().dialect.name])

    @app.get("/read")
    async def read(session: SessionDep, seconds: float) -> None:
        await sleep(session, seconds)

    @app.get("/stream")
    async def stream(session: SessionDep, request: Request) -> StreamingResponse:
        await session.execute(text("SELECT 1"))

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(CHUNKS):
                async with request.app.state.session_factory() as own:
                    await own.execute(text("SELECT 1"))
                yield CHUNK

        return StreamingResponse(chunks())

    @app.get("/names")
    async def names(session: SessionDep) -> list[str]:
        return list((await session.scalars(text("SELECT name FROM item"))).all())

    @app.get("/checked_out")
    async def checked_out(request: Request) -> int:
        pool = request.app.state.session_factory.kw["bind"].pool
        return int(pool.checkedout())

    @app.get("/running")
    async def running(session: SessionDep) -> int:
        """How many statements of others run on the server; a file has none."""
        statement = RUNNING.get(session.get_bind().dialect.name, "SELECT 0")
        return int(await session.scalar(text(statement)) or 0)

    return app
