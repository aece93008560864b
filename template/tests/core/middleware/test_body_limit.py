from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI, Request

from tests.conftest import connect


@pytest.fixture
async def client(configured_app: Callable[..., FastAPI]) -> AsyncIterator[httpx2.AsyncClient]:
    app = configured_app(BODY_LIMIT_BYTES="10")

    async def size(request: Request) -> int:
        return len(await request.body())

    async def parsed(body: list[int]) -> int:
        return len(body)

    async def unread() -> str:
        return "done"

    app.post("/size")(size)
    app.post("/size/more", max_body_size=20)(size)
    app.post("/size/less", max_body_size=5)(size)
    app.post("/parsed")(parsed)
    app.post("/unread")(unread)
    async with connect(app) as client:
        yield client


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield b"1"


@pytest.fixture(params=["announced", "chunked"])
def body(request: pytest.FixtureRequest) -> Callable[[int], bytes | AsyncIterator[bytes]]:
    """A body with its length in the head of the request, and one without."""
    return chunks if request.param == "chunked" else lambda size: b"1" * size


@pytest.mark.parametrize(
    ("path", "limit"), [("/size", 10), ("/size/more", 20), ("/size/less", 5), ("/parsed", 10)]
)
async def test_a_body_over_the_limit_is_rejected_with_413(
    client: httpx2.AsyncClient,
    body: Callable[[int], bytes | AsyncIterator[bytes]],
    path: str,
    limit: int,
) -> None:
    fits = await client.post(path, content=body(limit))
    assert fits.status_code == (422 if path == "/parsed" else 200)
    too_large = await client.post(path, content=body(limit + 1))
    assert too_large.status_code == 413
    assert too_large.headers["Content-Type"] == "application/problem+json"
    assert too_large.json()["status"] == 413


async def test_a_route_that_ignores_a_large_body_still_succeeds(
    client: httpx2.AsyncClient, body: Callable[[int], bytes | AsyncIterator[bytes]]
) -> None:
    response = await client.post("/unread", content=body(11))
    assert response.status_code == 200
    assert response.json() == "done"
