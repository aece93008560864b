"""The provider for development."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt

from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tools.development_variables import development_variables
from tools.identity_provider import IdentityProvider

VERIFIER = "v" * 43
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REDIRECT = "http://127.0.0.1:8000/docs/oauth2-redirect"
ASKED = {
    "response_type": "code",
    "client_id": "docs",
    "redirect_uri": REDIRECT,
    "scope": "openid",
    "state": "s&t",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.fixture
async def browser(identity_provider: IdentityProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=identity_provider.issuer, trust_env=False) as client:
        yield client


async def log_in(browser: httpx2.AsyncClient, **changes: str) -> str:
    """Return the code of a login as an editor."""
    chosen = ASKED | {"subject": "ada", "role": "editor", "scope": "thing:read"} | changes
    response = await browser.post("/authorize", data=chosen)
    assert response.status_code == 303
    location = urlsplit(response.headers["Location"])
    query = parse_qs(location.query)
    assert location._replace(query="").geturl() == REDIRECT
    assert query["state"] == ["s&t"]
    return query["code"][0]


async def exchange(browser: httpx2.AsyncClient, granted: str, **changes: str) -> httpx2.Response:
    form = {"grant_type": "authorization_code", "code": granted, "client_id": "docs"}
    form |= {"redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    return await browser.post("/token", data=form | changes)


async def test_a_login_gives_a_token_with_the_chosen_role_and_scopes(
    browser: httpx2.AsyncClient, make_app: MakeApp
) -> None:
    page = await browser.get("/authorize", params=ASKED)
    assert 'value="editor"' in page.text
    response = await exchange(browser, await log_in(browser))
    app = make_app(role_claims="roles")
    app.state.oidc.roles = {"editor": ["thing:write"]}
    async with connect(app) as client:
        caller = await client.get("/caller", headers=bearer(response.json()["access_token"]))
    assert caller.json() == {"id": "ada", "scopes": ["thing:read", "thing:write"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"client_id": "other"},
        {"redirect_uri": "http://127.0.0.1/other"},
        {"code": "other"},
        {"code": ""},
        {"grant_type": "password"},
    ],
)
async def test_a_code_is_worthless_without_what_it_was_issued_for(
    browser: httpx2.AsyncClient, changes: dict[str, str]
) -> None:
    response = await exchange(browser, await log_in(browser), **changes)
    assert (response.status_code, response.json()) == (400, {"error": "invalid_grant"})


async def test_a_code_is_valid_once(browser: httpx2.AsyncClient) -> None:
    code = await log_in(browser)
    assert (await exchange(browser, code)).status_code == 200
    assert (await exchange(browser, code)).status_code == 400


async def test_a_client_that_asks_for_it_gets_an_id_token(
    browser: httpx2.AsyncClient, identity_provider: IdentityProvider, make_app: MakeApp
) -> None:
    granted = await log_in(browser, scope="openid thing:read", nonce="n")
    tokens = (await exchange(browser, granted)).json()
    claims = jwt.decode(tokens["id_token"], identity_provider.key).claims
    assert (claims["sub"], claims["aud"], claims["nonce"]) == ("ada", "docs", "n")
    async with connect(make_app(audience="api,docs")) as client:
        for name, status in (("access_token", 200), ("id_token", 401)):
            response = await client.get("/caller", headers=bearer(tokens[name]))
            assert response.status_code == status


async def test_client_credentials_give_a_token(
    browser: httpx2.AsyncClient, make_app: MakeApp
) -> None:
    form = {"grant_type": "client_credentials", "scope": "thing:read"}
    response = await browser.post("/token", data=form)
    async with connect(make_app()) as client:
        headers = bearer(response.json()["access_token"])
        caller = await client.get("/private/1", headers=headers)
    assert caller.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "https://127.0.0.1.evil.example/"},
        {"redirect_uri": "https://127.0.0.1@evil.example/"},
        {"redirect_uri": "//[evil"},
        {"redirect_uri": ""},
    ],
)
async def test_only_local_clients_with_pkce_can_log_in(
    browser: httpx2.AsyncClient, changes: dict[str, str]
) -> None:
    assert (await browser.get("/authorize", params=ASKED | changes)).status_code == 400
    assert (await browser.post("/authorize", data=ASKED | changes)).status_code == 400


async def test_other_hosts_and_origins_are_rejected(browser: httpx2.AsyncClient) -> None:
    response = await browser.get("/keys", headers={"Host": "evil.example"})
    assert response.status_code == 400
    for origin, allowed in (("http://localhost:5173", True), ("https://evil.example", False)):
        response = await browser.get("/keys", headers={"Origin": origin})
        assert ("Access-Control-Allow-Origin" in response.headers) is allowed


async def test_the_login_page_escapes_what_it_was_asked_for(browser: httpx2.AsyncClient) -> None:
    attack = '"><script>alert(1)</script>'
    page = await browser.get("/authorize", params=ASKED | {"state": attack, "scope": attack})
    assert "<script>" not in page.text


def test_no_provider_is_started_if_there_is_one(
    identity_provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    with development_variables() as variables:
        assert variables == {}
    assert capsys.readouterr().out == ""


async def test_a_provider_is_started_if_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], make_app: MakeApp
) -> None:
    monkeypatch.delenv("OIDC_ISSUER")
    with development_variables() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        printed = capsys.readouterr().out
        [command] = [line for line in printed.splitlines() if "curl" in line]
        assert f"OIDC_ISSUER={variables['OIDC_ISSUER']}\n" in printed
        assert f"{variables['OIDC_ISSUER']}/token" in command
        async with connect(make_app()) as client:
            assert (await client.get("/docs")).status_code == 200
