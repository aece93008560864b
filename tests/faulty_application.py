"""The application and a few routes that take their time: copied into a rendered project."""

import asyncio
from collections.abc import AsyncIterator

from app.core.database import SessionDep
from app.main import create_app as create_real_app
from app.modules.item.schemas import ItemCreate
from app.modules.item.service import ItemService
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CHUNKS = 100
CHUNK = b"." * 65536
SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}
RUNNING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) FROM information_schema.processlist"
    " WHERE command = 'Query' AND id <> connection_id()",
}


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
