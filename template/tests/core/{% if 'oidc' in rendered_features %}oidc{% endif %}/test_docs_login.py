"""The login of /docs; that it works is tested in a browser."""

import json
import re

import pytest
from starlette.responses import JSONResponse

from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp
from tests.core.openid.faulty_provider import KEYS, METADATA, FaultyProvider
from tools.identity_provider import IdentityProvider
from tools.openapi import openapi_json

PATH = "/docs/openid-configuration"


@pytest.mark.parametrize("root", ["", "/service"])
async def test_the_docs_log_in_with_pkce(
    make_app: MakeApp, identity_provider: IdentityProvider, root: str
) -> None:
    app = make_app(docs_client_id="docs", docs_scopes="openid,thing:read")
    app.root_path = root
    async with connect(app) as client:
        page = await client.get(f"{root}/docs")
        # Relative to the page, as Swagger UI resolves it.
        scheme = app.openapi()["components"]["securitySchemes"]["oidc"]
        metadata = await client.get(page.url.join(scheme["openIdConnectUrl"]))
    [options] = re.findall(r"ui\.initOAuth\((.*?)\)\n", page.text)
    assert json.loads(options) == {
        "clientId": "docs",
        "usePkceWithAuthorizationCodeGrant": True,
        "scopes": "openid thing:read",
        "additionalQueryStringParams": {"audience": "api"},
    }
    assert metadata.json() == {
        "authorization_endpoint": f"{identity_provider.issuer}/authorize",
        "token_endpoint": f"{identity_provider.issuer}/token",
        "grant_types_supported": ["authorization_code"],
        "scopes_supported": ["openid", "thing:read"],
    }
    policy = page.headers["Content-Security-Policy"]
    assert f"; connect-src 'self' {identity_provider.issuer}; " in policy


async def test_the_docs_have_no_login_by_default(make_app: MakeApp) -> None:
    async with connect(make_app()) as client:
        assert (await client.get(PATH)).json() == {"grant_types_supported": []}
        page = await client.get("/docs")
    assert "initOAuth" not in page.text
    assert "; connect-src 'self'; " in page.headers["Content-Security-Policy"]


async def test_disabled_docs_have_no_login(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCS_ENABLED", "false")
    async with connect(make_app(docs_client_id="docs")) as client:
        assert (await client.get(PATH)).status_code == 404


async def test_the_docs_are_served_while_the_provider_is_unavailable(
    make_app: MakeApp, faulty_provider: FaultyProvider
) -> None:
    faulty_provider.stop()
    async with connect(make_app(docs_client_id="docs")) as client:
        page = await client.get("/docs")
        response = await client.get(PATH)
    assert page.status_code == 200
    assert "; connect-src 'self'; " in page.headers["Content-Security-Policy"]
    assert response.status_code == 503
    assert response.json()["detail"] == "The login is unavailable: the provider is unavailable."


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://evil.example/token",
        "https://evil.example;script-src */token",
        "https://evil.example' 'unsafe-eval'/token",
        "https://evil.example\n/token",
        "javascript:alert(1)",
        None,
        7,
    ],
)
async def test_endpoints_cannot_weaken_the_content_security_policy(
    make_app: MakeApp, faulty_provider: FaultyProvider, endpoint: object
) -> None:
    issuer = faulty_provider.identity.issuer
    document = {"issuer": issuer, "jwks_uri": issuer + KEYS, "token_endpoint": endpoint}
    document["authorization_endpoint"] = f"{issuer}/authorize"
    faulty_provider.responses[METADATA] = JSONResponse(document)
    async with connect(make_app(docs_client_id="docs")) as client:
        policy = (await client.get("/docs")).headers["Content-Security-Policy"]
        assert "; connect-src 'self'; " in policy
        assert (await client.get(PATH)).status_code == 503


def test_the_openapi_document_does_not_depend_on_the_environment(make_app: MakeApp) -> None:
    documents = {
        openapi_json(make_app(issuer=issuer, docs_client_id=client_id))
        for issuer, client_id in (("https://a.example.com", ""), ("http://localhost:1", "docs"))
    }
    assert len(documents) == 1
