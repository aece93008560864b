import httpx2
import pytest
from fastapi import FastAPI
from structlog.contextvars import get_contextvars


@pytest.mark.parametrize(
    ("given", "accepted"), [("abc-1.2:3_4", True), ("a b", False), ("x" * 129, False), ("", False)]
)
async def test_a_request_has_an_id(
    client: httpx2.AsyncClient, app: FastAPI, given: str, accepted: bool
) -> None:
    seen = []

    @app.get("/seen")
    async def see() -> None:
        seen.append(get_contextvars()["request_id"])

    response = await client.get("/seen", headers={"X-Request-ID": given})
    assert seen == [response.headers["X-Request-ID"]]
    assert (seen == [given]) is accepted
    assert len(seen[0]) >= 11


async def test_an_unexpected_failure_tells_its_id(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    response = await lenient_client.get("/broken", headers={"X-Request-ID": "abc"})
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["X-Request-ID"] == "abc"


async def test_concurrent_requests_keep_their_ids_apart(client: httpx2.AsyncClient) -> None:
    one = await client.get("/health/live")
    other = await client.get("/health/live")
    assert one.headers["X-Request-ID"] != other.headers["X-Request-ID"]
