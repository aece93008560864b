from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse


@pytest.fixture(autouse=True)
def routes(app: FastAPI) -> None:
    @app.get("/lamp")
    async def get(response: Response, missing: bool = False) -> dict[str, str]:
        response.headers["ETag"] = '"1"'
        if missing:
            response.status_code = 404
        return {"name": "Lamp"}

    @app.put("/lamp")
    async def put() -> None: ...

    @app.post("/only-post")
    async def post() -> None: ...

    @app.get("/unlike")
    async def read() -> None: ...

    @app.head("/unlike")
    async def head() -> Response:
        return Response(headers={"X-Own": "1"})


@pytest.mark.parametrize("path", ["/lamp", "/lamp?missing=true", "/health/live", "/nowhere"])
async def test_head_returns_the_headers_of_get(client: httpx2.AsyncClient, path: str) -> None:
    get = await client.get(path)
    head = await client.head(path)
    ids = {"x-request-id"}
    assert head.status_code == get.status_code
    assert {name: value for name, value in head.headers.items() if name not in ids} == {
        name: value for name, value in get.headers.items() if name not in ids
    }
    assert int(head.headers["Content-Length"]) == len(get.content) > 0
    assert head.content == b""


async def test_a_route_can_handle_head_itself(client: httpx2.AsyncClient) -> None:
    assert (await client.head("/unlike")).headers["X-Own"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/lamp", "GET, HEAD, PUT"),
        ("HEAD", "/only-post", "POST"),
        ("GET", "/only-post", "POST"),
        ("POST", "/unlike", "GET, HEAD"),
    ],
)
async def test_allow_header_lists_head_wherever_it_lists_get(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed


async def test_head_does_not_wait_for_an_endless_stream(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        while True:
            yield b"1"

    @app.get("/numbers")
    async def stream() -> StreamingResponse:
        return StreamingResponse(numbers(), headers={"X-Stream": "numbers"})

    response = await client.head("/numbers")
    assert response.headers["X-Stream"] == "numbers"
    assert response.content == b""


async def test_openapi_does_not_list_head(app: FastAPI) -> None:
    assert app.openapi()["paths"]["/lamp"].keys() == {"get", "put"}
