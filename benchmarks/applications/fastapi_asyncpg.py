"""The endpoints with FastAPI and asyncpg, without SQLAlchemy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import asyncpg
import statements
from fastapi import FastAPI, HTTPException, Query
from schemas import ItemChange, ItemCreate, ItemPage, ItemRead, utc_now
from uuid_utils.compat import uuid7


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with await statements.create_pool() as app.state.pool:
        yield


def create_app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    state = app.state

    @app.get("/api/v1/items", response_model=ItemPage)
    async def page(
        limit: Annotated[int, Query(ge=1, le=100)] = 50, cursor: UUID | None = None
    ) -> dict[str, object]:
        if cursor:
            rows = await state.pool.fetch(statements.PAGE_AFTER, limit, cursor)
        else:
            rows = await state.pool.fetch(statements.PAGE, limit)
        items = [dict(row) for row in rows]
        return {"items": items, "next_cursor": items[-1]["id"] if len(items) == limit else None}

    @app.post("/api/v1/items", status_code=201, response_model=ItemRead)
    async def create(data: ItemCreate) -> dict[str, object]:
        values = (uuid7(), data.name, data.description, utc_now())
        return dict(await state.pool.fetchrow(statements.CREATE, *values))

    @app.get("/api/v1/items/{item_id}", response_model=ItemRead)
    async def get(item_id: UUID) -> dict[str, object]:
        return found(await state.pool.fetchrow(statements.GET, item_id))

    @app.patch("/api/v1/items/{item_id}", response_model=ItemRead)
    async def change(item_id: UUID, data: ItemChange) -> dict[str, object]:
        values = (item_id, data.name, utc_now())
        return found(await state.pool.fetchrow(statements.CHANGE, *values))

    return app


def found(row: asyncpg.Record | None) -> dict[str, object]:
    if row is None:
        raise HTTPException(404)
    return dict(row)
