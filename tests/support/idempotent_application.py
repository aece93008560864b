"""The application with a slow route that accepts a key; copied into a rendered project."""

import asyncio
import os

from app.core.database import SessionDep
from app.core.idempotency.routes import idempotent
from app.main import create_app as create_real_app
from app.modules.item.models import Item, ItemIdempotency
from app.modules.item.schemas import ItemCreate
from app.modules.item.service import ItemService
from fastapi import APIRouter, FastAPI
from sqlalchemy import select

SECONDS = float(os.environ.get("SECONDS", "0"))


def create_app() -> FastAPI:
    router = APIRouter(route_class=idempotent(ItemIdempotency))

    @router.post("/write", status_code=201)
    async def write(session: SessionDep, name: str) -> None:
        await ItemService(session).create(ItemCreate(name=name))
        app.state.written += 1
        await asyncio.sleep(SECONDS)

    @router.get("/written")
    async def written() -> int:
        """How many writes are waiting, or have ended."""
        return int(app.state.written)

    @router.get("/names")
    async def names(session: SessionDep) -> list[str]:
        return list((await session.scalars(select(Item.name))).all())

    app = create_real_app()
    app.state.written = 0
    app.include_router(router)
    return app
