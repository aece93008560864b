import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match

from app.core.routing import APIRouter

SHELVES = APIRouter(prefix="/shelves")
BOOKS = APIRouter(prefix="/shelves/{shelf}/books")


@SHELVES.get("")
async def shelves() -> str:
    return "all"


@SHELVES.get("/{shelf}")
async def get_shelf(shelf: str) -> str:
    return shelf


@BOOKS.get("")
async def books(shelf: str) -> str:
    return f"books of {shelf}"


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.include_router(SHELVES)
    app.include_router(BOOKS)
    app.include_router(SHELVES, prefix="/v2")
    app.include_router(BOOKS, prefix="/v2")
    return app


@pytest.mark.parametrize("prefix", ["", "/v2"])
@pytest.mark.parametrize("root_path", ["", "/proxied"])
async def test_a_router_matches_wherever_it_is_included(
    app: FastAPI, root_path: str, prefix: str
) -> None:
    transport = httpx2.ASGITransport(app, root_path=root_path)
    address = f"http://test{root_path}{prefix}/shelves"
    async with httpx2.AsyncClient(transport=transport) as client:
        for path, expected in (
            ("", "all"),
            ("/first", "first"),
            ("/a%2Db", "a-b"),
            ("/first/books", "books of first"),
        ):
            assert (await client.get(address + path)).json() == expected
        assert (await client.get(address.removesuffix("s"))).status_code == 404
        assert (await client.get(address + "/first/none")).status_code == 404
        assert (await client.delete(address)).status_code == 405
        redirected = await client.get(address + "/first/books/")
        assert redirected.headers["Location"] == address + "/first/books"


def test_all_routes_are_documented(app: FastAPI) -> None:
    assert len(app.openapi()["paths"]) == 6


async def test_routes_of_other_prefixes_are_skipped(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def look(route: APIRoute, _scope: object) -> tuple[Match, dict[str, object]]:
        looked.append(route.path)
        return Match.NONE, {}

    monkeypatch.setattr(APIRoute, "matches", look)
    assert (await client.get("/elsewhere")).status_code == 404
    assert not looked
    await client.get("/shelves")
    assert looked
