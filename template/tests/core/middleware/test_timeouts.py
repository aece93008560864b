import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from app.core.database import SessionDep
from app.core.settings import SettingsError


@pytest.fixture(autouse=True)
def timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUEST_TIMEOUT", "0.1")


async def test_a_slow_request_is_cancelled_with_503(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    ended = []

    @app.get("/slow")
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    response = await client.get("/slow")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json()["detail"] == "The request timed out after 0.1 s."
    assert ended


async def test_a_handler_that_catches_its_cancellation_decides_the_response(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/stubborn")
    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "done"

    response = await client.get("/stubborn")
    assert (response.status_code, response.json()) == (200, "done")


async def test_a_commit_in_progress_is_not_cancelled(
    client: httpx2.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Session.commit

    def delay(session: Session) -> None:
        await_only(asyncio.sleep(0.3))
        commit(session)

    monkeypatch.setattr(Session, "commit", delay)

    @app.post("/keep", status_code=201)
    async def keep(session: SessionDep) -> None:
        await session.execute(text("SELECT 1"))

    assert (await client.post("/keep")).status_code == 201


async def test_a_stream_that_started_in_time_is_not_cancelled(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    async def numbers() -> AsyncIterator[str]:
        yield "1"
        await asyncio.sleep(0.2)
        yield "2"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(numbers())

    assert (await client.get("/stream")).text == "12"


async def test_a_timeout_error_of_the_handler_is_an_internal_server_error(
    lenient_client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.get("/own")
    async def own() -> None:
        raise TimeoutError

    assert (await lenient_client.get("/own")).status_code == 500


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "1e300"])
def test_an_invalid_duration_prevents_startup(
    configured_app: Callable[..., FastAPI], value: str
) -> None:
    with pytest.raises(SettingsError, match=f"REQUEST_TIMEOUT='{value}': "):
        configured_app(REQUEST_TIMEOUT=value)
