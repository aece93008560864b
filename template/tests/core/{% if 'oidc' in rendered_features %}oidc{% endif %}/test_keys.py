"""What callers get with new keys, and while the provider is slow or down."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse
from structlog.testing import capture_logs

from app.core.openid import keys
from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tests.core.openid.faulty_provider import KEYS, METADATA, FaultyProvider

FAILURE = "the provider's keys could not be fetched"


async def status(client: httpx2.AsyncClient, token: str) -> int:
    return (await client.get("/caller", headers=bearer(token))).status_code


def unknown_token(provider: FaultyProvider, number: int = 0) -> str:
    header = {"kid": f"unknown {number}"}
    return provider.identity.sign({"exp": 4_000_000_000}, **header)


def end_cooldown(app: FastAPI) -> None:
    app.state.oidc.keys._next_fetch = 0.0


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_new_key_is_fetched_when_a_token_is_signed_with_it(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app()
    async with connect(app) as client:
        old = faulty_provider.identity.access_token("me")
        assert await status(client, old) == 200
        faulty_provider.identity.rotate_keys()
        new = faulty_provider.identity.access_token("me")
        assert await status(client, new) == 401
        end_cooldown(app)
        assert await status(client, new) == 200
        # The cache does not keep what its key no longer proves.
        assert await status(client, old) == 401
        assert faulty_provider.requests[KEYS] == 2


async def test_the_cooldown_ends_by_itself(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    async with connect(make_app(refetch_cooldown="0.05")) as client:
        for number in range(3):
            assert await status(client, unknown_token(faulty_provider, number)) == 401
            await asyncio.sleep(0.1)
    assert faulty_provider.requests[KEYS] == 3


async def test_the_application_starts_without_its_provider_and_recovers(
    make_app: MakeApp, faulty_provider: FaultyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FAILURE_COOLDOWN", 0.1)
    faulty_provider.stop()
    token = faulty_provider.identity.access_token("me")
    app = make_app()
    async with app.state.oidc.with_current_keys(), connect(app) as client:
        response = await client.get("/caller", headers=bearer(token))
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert response.json()["detail"] == (
            "Access tokens cannot be verified: the provider is unavailable."
        )
        assert (await client.get("/caller")).status_code == 401
        assert (await client.get("/public")).status_code == 200
        faulty_provider.start()
        # Without a request that asks for them.
        await until(lambda: app.state.oidc.keys.keys)
        assert await status(client, token) == 200


async def test_only_the_first_request_waits_for_a_provider_that_does_not_respond(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.delay = 60
    token = faulty_provider.identity.access_token("me")
    with capture_logs() as lines:
        async with connect(make_app(timeout="0.1")) as client:
            for _ in range(3):
                assert await status(client, token) == 503
    assert faulty_provider.requests == {METADATA: 1}
    assert [line["reason"] for line in lines if line["event"] == FAILURE] == [
        f"{faulty_provider.identity.issuer}{METADATA}: no response within 0.1 s"
    ]


async def test_the_reason_of_a_failed_fetch_names_the_variable(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    document = faulty_provider.identity.metadata() | {"issuer": "https://evil.example"}
    faulty_provider.responses[METADATA] = JSONResponse(document)
    token = faulty_provider.identity.access_token("me")
    with capture_logs() as lines:
        async with connect(make_app()) as client:
            response = await client.get("/caller", headers=bearer(token))
    assert response.status_code == 503
    [line] = [line for line in lines if line["event"] == FAILURE]
    assert line["reason"] == "the `issuer` of its metadata differs from OIDC_ISSUER"
    assert "issuer" not in response.text


async def test_known_keys_survive_an_outage(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    app = make_app(refetch_cooldown="0.05", keys_lifetime="0.05", cache_size=0)
    token = faulty_provider.identity.access_token("me")
    async with app.state.oidc.with_current_keys(), connect(app) as client:
        assert await status(client, token) == 200
        faulty_provider.stop()
        await until(lambda: not app.state.oidc.keys.is_current)
        assert await status(client, token) == 200
        # It may be signed with a new key.
        assert await status(client, unknown_token(faulty_provider)) == 503
        faulty_provider.start()
        await until(lambda: app.state.oidc.keys.is_current)
        assert await status(client, unknown_token(faulty_provider)) == 401


async def test_the_application_fetches_the_keys_when_it_starts(
    configured_app: Callable[..., FastAPI], faulty_provider: FaultyProvider
) -> None:
    app = configured_app()
    before = asyncio.all_tasks()
    async with app.router.lifespan_context(app):
        await until(lambda: app.state.oidc.keys.keys)
    assert asyncio.all_tasks() == before
    assert faulty_provider.requests[KEYS] == 1
