"""Caches must not keep what one caller got, nor tell another one that nothing changed."""

from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query, Response

from app.core.auth.requirements import require
from app.core.errors import NotFoundError
from app.core.optimistic_locking import IfNoneMatch, set_etag
from tests.conftest import connect
from tests.core.auth.callers import Authorize
from tests.core.oidc.conftest import SCOPE, MakeApp

STORED: Any = SimpleNamespace(version=1)


@pytest.fixture
def app(make_app: MakeApp) -> FastAPI:
    app = make_app()

    @app.get("/things/{key}", dependencies=[require(SCOPE)], status_code=200)
    async def get(
        key: str,
        response: Response,
        limit: Annotated[int, Query()] = 1,
        if_none_match: IfNoneMatch = None,
    ) -> dict[str, Any]:
        if key == "none":
            raise NotFoundError("thing", key)
        set_etag(response, STORED, if_none_match)
        return {"limit": limit}

    return app


@pytest.mark.parametrize(
    ("method", "url", "headers", "scope", "status"),
    [
        ("GET", "/things/1", {}, SCOPE, 200),
        ("HEAD", "/things/1", {}, SCOPE, 200),
        ("GET", "/things/1", {"If-None-Match": '"1"'}, SCOPE, 304),
        ("GET", "/things/none", {}, SCOPE, 404),
        ("GET", "/things/1?limit=x", {}, SCOPE, 422),
        ("GET", "/things/1", {}, "thing:write", 403),
        ("GET", "/things/1", {}, None, 401),
        ("GET", "/things/1", {"Authorization": "Bearer x"}, None, 401),
    ],
)
async def test_responses_to_callers_are_kept_out_of_caches(
    app: FastAPI,
    authorize: Authorize,
    method: str,
    url: str,
    headers: dict[str, str],
    scope: str | None,
    status: int,
) -> None:
    if scope:
        headers = headers | await authorize(scope)
    async with connect(app) as client:
        response = await client.request(method, url, headers=headers)
    assert response.status_code == status
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Authorization"


@pytest.mark.parametrize("path", ["/public", "/health/live", "/docs", "/openapi.json", "/nowhere"])
async def test_public_responses_may_be_cached(
    app: FastAPI, authorize: Authorize, path: str
) -> None:
    async with connect(app) as client:
        response = await client.get(path, headers=await authorize(SCOPE))
    assert "Cache-Control" not in response.headers
    assert "Vary" not in response.headers
