"""Responses that a provider, or someone between, might send."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from app.core.openid.provider import Provider, ProviderError
from tests.core.openid.conftest import VARIABLE, MakeProvider
from tests.core.openid.faulty_provider import KEYS, METADATA, FaultyProvider


async def failure(provider: Provider) -> str:
    """Return the reason why the metadata and the keys could not be read."""
    with pytest.raises(ProviderError) as error:
        await provider.read()
    return str(error.value)


async def test_metadata_and_keys_are_read(
    make_provider: MakeProvider, faulty_provider: FaultyProvider
) -> None:
    metadata, key_set = await make_provider().read()
    assert metadata["issuer"] == faulty_provider.identity.issuer
    assert [key["kid"] for key in key_set["keys"]] == [faulty_provider.identity.key.kid]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"issuer": "https://evil.example"},
            f"the `issuer` of its metadata differs from {VARIABLE}",
        ),
        ({"issuer": None}, f"the `issuer` of its metadata differs from {VARIABLE}"),
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
    make_provider: MakeProvider,
    faulty_provider: FaultyProvider,
    changes: dict[str, Any],
    reason: str,
) -> None:
    document = faulty_provider.identity.metadata() | changes
    faulty_provider.responses[METADATA] = JSONResponse(document)
    assert (await failure(make_provider())).startswith(reason)
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
    make_provider: MakeProvider, faulty_provider: FaultyProvider, response: Response, reason: str
) -> None:
    faulty_provider.responses[METADATA] = response
    url = f"{faulty_provider.identity.issuer}{METADATA}"
    assert await failure(make_provider()) == f"{url}: {reason}"
    assert faulty_provider.requests[KEYS] == 0


async def drip(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Respond for five seconds, without a pause that is long."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.05)


async def test_a_response_that_never_ends_is_given_up(
    make_provider: MakeProvider, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.responses[METADATA] = drip
    reason = await failure(make_provider(timeout=0.3))
    assert reason.endswith("no response within 0.3 s")


@pytest.mark.parametrize("url", ["http://127.0.0.1/keys", "http://id.example.com/keys"])
def test_a_remote_provider_cannot_refer_to_urls_without_tls(
    make_provider: MakeProvider, url: str
) -> None:
    provider = make_provider("https://id.example.com")
    with pytest.raises(ProviderError, match="invalid `jwks_uri` in its metadata: "):
        provider.endpoint({"jwks_uri": url}, "jwks_uri")


def test_the_scheme_of_the_issuer_is_that_of_all_endpoints(make_provider: MakeProvider) -> None:
    for issuer, other in (
        ("https://id.example.com", "http://127.0.0.1/keys"),
        ("HTTPS://id.example.com", "http://127.0.0.1/keys"),
        ("http://127.0.0.1", "https://a.example/keys"),
    ):
        provider = make_provider(issuer)
        with pytest.raises(ProviderError, match=f"its scheme is not .*, as that of {VARIABLE}"):
            provider.endpoint({"jwks_uri": other}, "jwks_uri")
        own = {"jwks_uri": f"{issuer}?b=c"}
        assert provider.endpoint(own, "jwks_uri") == own["jwks_uri"]


async def test_an_unreachable_provider_is_named_with_the_reason(
    make_provider: MakeProvider, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.stop()
    reason = await failure(make_provider())
    assert reason.startswith(f"{faulty_provider.identity.issuer}{METADATA}: ConnectError ")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the status and the content that a form asks for."""
    request = Request(scope, receive)
    form = parse_qs((await request.body()).decode())
    sent = {
        "method": request.method,
        "content": form["content"][0],
        "accept": request.headers["Accept"],
        "encoding": request.headers["Accept-Encoding"],
        "authorization": request.headers["Authorization"],
    }
    await JSONResponse(sent, int(form["status"][0]))(scope, receive, send)


@pytest.mark.parametrize("status", [200, 400])
async def test_a_form_is_posted(
    make_provider: MakeProvider, faulty_provider: FaultyProvider, status: int
) -> None:
    faulty_provider.responses["/token"] = echo
    url = f"{faulty_provider.identity.issuer}/token"
    found, document = await make_provider().post(
        url,
        (200, 400),
        data={"content": "a&b", "status": str(status)},
        headers={"Authorization": "Basic x"},
    )
    assert found == status
    assert document == {
        "method": "POST",
        "content": "a&b",
        "accept": "application/json",
        "encoding": "identity",
        "authorization": "Basic x",
    }


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response(status_code=500), "status 500 instead of 200, 400"),
        (RedirectResponse(KEYS, 303), "status 303 instead of 200, 400"),
        (PlainTextResponse("x", 400), "the response is not JSON"),
        (PlainTextResponse("x" * 600_000, 400), "more than 524288 bytes"),
    ],
)
async def test_other_responses_to_a_form_are_rejected(
    make_provider: MakeProvider, faulty_provider: FaultyProvider, response: Response, reason: str
) -> None:
    faulty_provider.responses["/token"] = response
    url = f"{faulty_provider.identity.issuer}/token"
    with pytest.raises(ProviderError) as error:
        await make_provider().post(url, (200, 400), data={"code": "secret"})
    assert str(error.value) == f"{url}: {reason}"
    assert faulty_provider.requests == {"/token": 1}
