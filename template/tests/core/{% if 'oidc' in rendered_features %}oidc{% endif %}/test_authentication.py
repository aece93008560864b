"""The header with the token, and what becomes known of a caller in responses, logs and traces."""

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.conftest import connect
from tests.core.auth.callers import Authorize
from tests.core.oidc.conftest import SCOPE, MakeApp, bearer
from tools.identity_provider import IdentityProvider


async def test_a_caller_with_the_scope_is_allowed(
    client: httpx2.AsyncClient, authorize: Authorize
) -> None:
    response = await client.get("/private/1", headers=await authorize(SCOPE, id="me"))
    assert (response.status_code, response.json()) == (200, {"id": "me", "number": 1})


async def test_a_caller_without_the_scope_gets_403(
    client: httpx2.AsyncClient, authorize: Authorize
) -> None:
    response = await client.get("/private/1", headers=await authorize("thing:write", "thing"))
    assert response.status_code == 403
    challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
    assert response.headers["WWW-Authenticate"] == challenge
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_case_insensitive(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {identity_provider.access_token('me')}"}
    assert (await client.get("/caller", headers=headers)).status_code == 200


@pytest.mark.parametrize("prefix", [None, "", "Basic ", "Bearer:", "BearerX ", "Token "])
async def test_other_credentials_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, prefix: str | None
) -> None:
    token = identity_provider.access_token("me")
    headers = {} if prefix is None else {"Authorization": prefix + token}
    response = await client.get("/caller", headers=headers)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_several_headers_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    value = f"Bearer {identity_provider.access_token('me')}"
    headers = [("Authorization", value), ("Authorization", value)]
    assert (await client.get("/caller", headers=headers)).status_code == 401
    joined = {"Authorization": f"{value}, {value}"}
    assert (await client.get("/caller", headers=joined)).status_code == 401


async def test_tokens_elsewhere_in_a_request_are_ignored(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    token = identity_provider.access_token("me")
    response = await client.get(
        "/caller",
        params={"access_token": token},
        headers={"X-Access-Token": token, "Cookie": f"access_token={token}"},
    )
    assert response.status_code == 401


async def test_a_preflight_request_needs_no_token(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORS_ALLOW_ORIGINS", "https://example.com")
    headers = {
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "Authorization",
    }
    async with connect(make_app()) as client:
        response = await client.options("/private/1", headers=headers)
    assert response.status_code == 200


async def test_the_scheme_and_the_scope_are_in_the_openapi_document(
    client: httpx2.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["oidc"] == {
        "type": "openIdConnect",
        "openIdConnectUrl": "docs/openid-configuration",
    }
    paths = document["paths"]
    assert paths["/private/{number}"]["get"]["security"] == [{"oidc": [SCOPE]}]
    assert paths["/caller"]["get"]["security"] == [{"oidc": []}]
    assert "security" not in paths["/public"]["get"]


async def test_logs_name_the_caller_and_contain_no_token(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    valid = identity_provider.access_token("me", scope="thing:read")
    without_scope = identity_provider.access_token("other")
    expired = identity_provider.access_token("late", exp=1)
    with capture_logs(processors=[merge_contextvars]) as lines:
        for token in (valid, without_scope, expired):
            response = await client.get("/private/1", headers=bearer(token))
            for part in token.split("."):
                assert part not in response.text + str(response.headers) + str(lines)
    assert "late" not in str(lines)
    events = [(line["event"], line.get("user_id")) for line in lines if "user_id" in line]
    assert ("request", "me") in events
    assert ("access denied", "other") in events
    [failure] = [line for line in lines if line["event"] == "authentication failed"]
    assert failure["reason"] == "The access token has expired."


async def test_only_credentials_that_were_sent_are_a_security_event(
    client: httpx2.AsyncClient,
) -> None:
    with capture_logs() as lines:
        for headers in ({}, {"Authorization": "Basic YTpi"}, bearer("wrong")):
            assert (await client.get("/private/1", headers=headers)).status_code == 401
    failures = [line for line in lines if line["event"] == "authentication failed"]
    assert len(failures) == 2


async def test_traces_name_the_caller_and_contain_no_token(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    token = identity_provider.access_token("me")
    async with connect(make_app()) as client:
        with provider.get_tracer("tests").start_as_current_span("request"):
            await client.get("/caller", headers=bearer(token))
        with provider.get_tracer("tests").start_as_current_span("request"):
            await client.get("/caller", headers=bearer(identity_provider.access_token("x", exp=1)))
    known, unknown = exporter.get_finished_spans()
    assert dict(known.attributes or {}) == {"user_id": "me"}
    assert not unknown.attributes
