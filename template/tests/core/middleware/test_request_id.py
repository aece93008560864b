import httpx2
import pytest
from fastapi import FastAPI
from structlog.contextvars import get_contextvars


@pytest.mark.parametrize(
    ("client_id", "accepted"),
    [("abc-1.2:3_4", True), ("a b", False), ("x" * 129, False), ("", False)],
)
async def test_every_response_has_a_request_id(
    client: httpx2.AsyncClient, app: FastAPI, client_id: str, accepted: bool
) -> None:
    seen = []

    @app.get("/seen")
    async def see() -> None:
        seen.append(get_contextvars()["request_id"])

    response = await client.get("/seen", headers={"X-Request-ID": client_id})
    assert seen == [response.headers["X-Request-ID"]]
    assert (seen == [client_id]) is accepted
    assert len(seen[0]) >= 11


async def test_an_internal_server_error_contains_its_request_id(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    response = await lenient_client.get("/broken", headers={"X-Request-ID": "abc"})
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["X-Request-ID"] == "abc"


async def test_concurrent_requests_have_separate_request_ids(client: httpx2.AsyncClient) -> None:
    one = await client.get("/health/live")
    other = await client.get("/health/live")
    assert one.headers["X-Request-ID"] != other.headers["X-Request-ID"]
