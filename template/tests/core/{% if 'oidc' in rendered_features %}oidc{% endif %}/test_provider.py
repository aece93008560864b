"""Metadata that a provider, or someone between, might send."""

import asyncio
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from app.core.oidc.provider import ProviderError
from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tests.core.oidc.faulty_provider import KEYS, METADATA, FaultyProvider


async def failure(app: Any, provider: FaultyProvider) -> str:
    """Return the logged reason why the keys could not be fetched."""
    token = provider.identity.access_token("me")
    with capture_logs() as lines:
        async with connect(app) as client:
            assert (await client.get("/caller", headers=bearer(token))).status_code == 503
    [reason] = [line["reason"] for line in lines if line["event"].startswith("the provider's keys")]
    assert isinstance(reason, str)
    return reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://evil.example"}, "the `issuer` of its metadata differs"),
        ({"issuer": None}, "the `issuer` of its metadata differs"),
        ({"jwks_uri": "http://evil.example/keys"}, "invalid `jwks_uri` in its metadata: expected"),
        ({"jwks_uri": "http://169.254.169.254/keys"}, "invalid `jwks_uri`"),
        ({"jwks_uri": "https://127.0.0.1/keys"}, "invalid `jwks_uri` in its metadata: its scheme"),
        ({"jwks_uri": "file:///etc/passwd"}, "invalid `jwks_uri` in its metadata: expected a URL"),
        ({"jwks_uri": "https://user@evil.example"}, "invalid `jwks_uri`"),
        ({"jwks_uri": ["https://evil.example"]}, "invalid `jwks_uri`"),
        ({"jwks_uri": None}, "invalid `jwks_uri`"),
    ],
)
async def test_metadata_that_cannot_be_trusted_is_rejected(
    make_app: MakeApp, faulty_provider: FaultyProvider, changes: dict[str, Any], reason: str
) -> None:
    issuer = faulty_provider.identity.issuer
    document = {"issuer": issuer, "jwks_uri": issuer + KEYS} | changes
    faulty_provider.responses[METADATA] = JSONResponse(document)
    assert (await failure(make_app(), faulty_provider)).startswith(reason)
    assert faulty_provider.requests[KEYS] == 0


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (RedirectResponse(KEYS), "status 307 instead of 200"),
        (Response(status_code=404), "status 404 instead of 200"),
        (PlainTextResponse("<html>"), "the response is not JSON"),
        (PlainTextResponse("[" * 100_000), "the response is not JSON"),
        (PlainTextResponse(b"\xff"), "the response is not JSON"),
        (JSONResponse([]), "the response is not a JSON object"),
        (PlainTextResponse("x" * 600_000), "more than 524288 bytes"),
    ],
)
async def test_other_responses_are_rejected(
    make_app: MakeApp, faulty_provider: FaultyProvider, response: Response, reason: str
) -> None:
    faulty_provider.responses[METADATA] = response
    found = await failure(make_app(), faulty_provider)
    assert found == f"{faulty_provider.identity.issuer}{METADATA}: {reason}"
    assert faulty_provider.requests[KEYS] == 0


async def test_a_response_that_never_ends_is_given_up(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    async def drip(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.05)

    faulty_provider.responses[METADATA] = drip
    reason = await failure(make_app(timeout="0.3"), faulty_provider)
    assert reason.endswith("no response within 0.3 s")


def test_a_remote_provider_cannot_refer_to_this_machine_without_tls(make_app: MakeApp) -> None:
    provider = make_app(issuer="https://id.example.com").state.oidc.provider
    with pytest.raises(ProviderError, match="its scheme is not https, as that of OIDC_ISSUER"):
        provider.endpoint({"jwks_uri": "http://127.0.0.1/keys"}, "jwks_uri")
    assert provider.endpoint({"jwks_uri": "https://a.example?b=c"}, "jwks_uri")


async def test_an_unreachable_provider_is_logged_with_the_reason(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.stop()
    assert "ConnectError" in await failure(make_app(), faulty_provider)
