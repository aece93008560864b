"""The endpoints with Starlette and asyncpg; pydantic parses bodies and serialises responses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import statements
from pydantic import TypeAdapter
from schemas import ItemChange, ItemCreate, ItemPage, ItemRead, utc_now
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uuid_utils.compat import uuid7

ITEM = TypeAdapter(ItemRead)
PAGE = TypeAdapter(ItemPage)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with await statements.create_pool() as app.state.pool:
        yield


def respond(kind: TypeAdapter[Any], value: Any, status: int = 200) -> Response:
    body = kind.dump_json(kind.validate_python(value))
    return Response(body, status, media_type="application/json")


def one(row: Any, status: int = 200) -> Response:
    return Response(status_code=404) if row is None else respond(ITEM, dict(row), status)


async def page(request: Request) -> Response:
    limit = int(request.query_params.get("limit", "50"))
    pool = request.app.state.pool
    if cursor := request.query_params.get("cursor"):
        rows = await pool.fetch(statements.PAGE_AFTER, limit, UUID(cursor))
    else:
        rows = await pool.fetch(statements.PAGE, limit)
    items = [dict(row) for row in rows]
    after = items[-1]["id"] if len(items) == limit else None
    return respond(PAGE, {"items": items, "next_cursor": after})


async def create(request: Request) -> Response:
    data = ItemCreate.model_validate_json(await request.body())
    values = (uuid7(), data.name, data.description, utc_now())
    return one(await request.app.state.pool.fetchrow(statements.CREATE, *values), 201)


async def get(request: Request) -> Response:
    key = request.path_params["item_id"]
    return one(await request.app.state.pool.fetchrow(statements.GET, key))


async def change(request: Request) -> Response:
    data = ItemChange.model_validate_json(await request.body())
    values = (request.path_params["item_id"], data.name, utc_now())
    return one(await request.app.state.pool.fetchrow(statements.CHANGE, *values))


def create_app() -> Starlette:
    routes = [
        Route("/api/v1/items", page),
        Route("/api/v1/items", create, methods=["POST"]),
        Route("/api/v1/items/{item_id:uuid}", get),
        Route("/api/v1/items/{item_id:uuid}", change, methods=["PATCH"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
