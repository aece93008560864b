"""Logins with a provider belong to the browser that has started them, and work once."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pyotp
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.users.authentication import COOKIE
from app.core.users.models import UserAccount, UserProviderLogin, UserSession
from app.core.users.providers import login
from app.core.users.providers.cookie import LOGIN_COOKIE
from app.core.users.tokens import hash_token
from tests.conftest import connect
from tests.core.users.conftest import delete_all_expired
from tests.core.users.providers.browser import PROVIDERS, Browser
from tests.core.users.providers.corp_provider import SECRET, CorpProvider


@pytest.fixture
def app(provider_app: Callable[..., FastAPI]) -> FastAPI:
    return provider_app()


async def count_accounts(sessions: SessionFactory) -> int:
    async with sessions() as session:
        return (await session.scalars(select(func.count()).select_from(UserAccount))).one()


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_a_login_sets_the_cookie_of_a_session(browser: Browser) -> None:
    response = await browser.log_in()
    assert response.status_code == 200
    assert response.json() == {
        "challenge": None,
        "second_factors": [],
        "return_to": None,
        "is_linked": False,
    }
    assert response.headers["Cache-Control"] == "no-store"
    account = await browser.me()
    assert account["email"] == "ada@example.com"
    assert account["email_verified_at"]
    assert account["has_password"] is False


async def test_a_login_can_return_a_bearer_token(browser: Browser) -> None:
    answer = browser.provider.authorize(await browser.start())
    response = await browser.send(answer, operation="token")
    assert "Set-Cookie" not in response.headers
    browser.client.cookies.clear()
    browser.client.headers["Authorization"] = f"Bearer {response.json()['token']}"
    assert (await browser.me())["email"] == "ada@example.com"


async def test_providers_are_listed(browser: Browser) -> None:
    response = await browser.client.get(PROVIDERS)
    assert response.json() == [{"name": "corp", "label": "corp"}]


async def test_the_provider_is_asked_for_a_code_with_pkce(
    app: FastAPI, provider: CorpProvider
) -> None:
    headers = {"Host": "evil.test", "X-Forwarded-Host": "evil.test"}
    async with connect(app, "https://test") as client:
        response = await client.post(f"{PROVIDERS}/corp/login", json={}, headers=headers)
    url = response.json()["authorization_url"]
    assert url.startswith(f"{provider.issuer}/authorize?tenant=1&")
    asked = query(url)
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "https://app.example.com/login/corp"
    assert asked["scope"] == "openid email"
    # So that the provider sends `auth_time`.
    assert asked["max_age"] == "2592000"
    assert "prompt" not in asked


async def test_the_cookie_of_a_started_login_is_protected(browser: Browser) -> None:
    response = await browser.client.post(f"{PROVIDERS}/corp/login", json={})
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-login=")
    for attribute in ("HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=600"):
        assert attribute in cookie
    assert "Domain" not in cookie


async def test_a_malformed_cookie_is_replaced(app: FastAPI) -> None:
    headers = {"Cookie": f"{LOGIN_COOKIE}=x"}
    async with connect(app, "https://test") as client:
        await client.post(f"{PROVIDERS}/corp/login", json={}, headers=headers)
        assert len(client.cookies[LOGIN_COOKIE]) == 43


@pytest.mark.parametrize("space", [b"\xa0", b"\x85"])
async def test_a_cookie_of_another_host_is_ignored(browser: Browser, space: bytes) -> None:
    """A site of the same domain cannot make a visitor log in to the attacker's account."""
    answer = browser.provider.authorize(await browser.start())
    cookie = f"{LOGIN_COOKIE}={browser.client.cookies[LOGIN_COOKIE]}".encode()
    browser.client.cookies.clear()
    for name, status in ((space + cookie, 400), (cookie, 200)):
        response = await browser.client.post(
            f"{PROVIDERS}/corp/callback", json=answer, headers={b"Cookie": name}
        )
        assert response.status_code == status


async def test_a_login_without_the_cookie_is_rejected(
    browser: Browser, session_factory: SessionFactory
) -> None:
    answer = browser.provider.authorize(await browser.start())
    browser.client.cookies.clear()
    response = await browser.send(answer)
    assert response.status_code == 400
    assert "Set-Cookie" not in response.headers
    assert browser.provider.codes
    assert await count_accounts(session_factory) == 0


async def test_the_login_of_another_browser_is_rejected(
    app: FastAPI, browser: Browser, session_factory: SessionFactory
) -> None:
    """An attacker cannot make a visitor log in to the attacker's account."""
    async with connect(app, "https://test") as client:
        attacker = Browser(client, browser.provider)
        answer = browser.provider.authorize(await attacker.start())
    await browser.start()
    response = await browser.send(answer)
    assert response.status_code == 400
    assert await count_accounts(session_factory) == 0


async def test_tabs_of_a_browser_can_log_in_at_the_same_time(browser: Browser) -> None:
    first, second = await browser.start(), await browser.start()
    assert query(first)["nonce"] != query(second)["nonce"]
    for url in (first, second):
        response = await browser.send(browser.provider.authorize(url))
        assert response.status_code == 200


async def test_a_state_works_once(browser: Browser) -> None:
    answer = browser.provider.authorize(await browser.start())
    assert (await browser.send(answer)).status_code == 200
    assert (await browser.send(answer)).status_code == 400


async def test_a_failed_login_cannot_be_tried_again(browser: Browser) -> None:
    answer = browser.provider.authorize(await browser.start())
    assert (await browser.send(answer | {"code": "wrong"})).status_code == 401
    assert (await browser.send(answer)).status_code == 400


async def test_an_expired_state_is_rejected(
    browser: Browser, session_factory: SessionFactory
) -> None:
    answer = browser.provider.authorize(await browser.start())
    async with session_factory.begin() as session:
        await session.execute(update(UserProviderLogin).values(expires_at=utc_now()))
    assert (await browser.send(answer)).status_code == 400
    async with session_factory.begin() as session:
        await delete_all_expired(session)
        assert (await session.scalars(select(UserProviderLogin))).all() == []


async def test_the_database_has_no_secret_of_a_started_login(
    browser: Browser, session_factory: SessionFactory
) -> None:
    asked = query(await browser.start())
    async with session_factory() as session:
        stored = str((await session.execute(select(*UserProviderLogin.__table__.columns))).one())
    cookie = browser.client.cookies[LOGIN_COOKIE]
    assert not [value for value in (asked["state"], asked["nonce"], cookie) if value in stored]


@pytest.mark.parametrize("change", [{"iss": None}, {"iss": "https://evil.test"}])
async def test_a_response_of_another_provider_is_rejected(
    browser: Browser, change: dict[str, str | None]
) -> None:
    """The code of one provider must not be sent to another, which could use it."""
    answer = browser.provider.authorize(await browser.start(), **change)
    assert (await browser.send(answer)).status_code == 401
    assert "/token" not in browser.provider.requests


async def test_a_provider_that_never_sends_iss_is_accepted(browser: Browser) -> None:
    browser.provider.metadata_changes = {"authorization_response_iss_parameter_supported": False}
    answer = browser.provider.authorize(await browser.start(), iss=None)
    assert (await browser.send(answer)).status_code == 200


async def test_a_state_belongs_to_its_provider(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    app = provider_app(
        USERS_PROVIDERS="corp,other",
        USERS_PROVIDER_OTHER_ISSUER=provider.issuer,
        USERS_PROVIDER_OTHER_CLIENT_ID="app",
    )
    async with connect(app, "https://test") as client:
        browser = Browser(client, provider)
        answer = provider.authorize(await browser.start("corp"))
        assert (await browser.send(answer, "other")).status_code == 400
    assert "/token" not in provider.requests


@pytest.mark.parametrize("checks_pkce", [True, False])
async def test_the_code_of_another_login_is_rejected(
    app: FastAPI, browser: Browser, checks_pkce: bool, session_factory: SessionFactory
) -> None:
    """If the provider does not check the verifier, the nonce is another one."""
    browser.provider.checks_pkce = checks_pkce
    async with connect(app, "https://test") as client:
        victim = Browser(client, browser.provider)
        stolen = browser.provider.authorize(await victim.start())
    answer = browser.provider.authorize(await browser.start())
    response = await browser.send(answer | {"code": stolen["code"]})
    assert response.status_code == 401
    assert await count_accounts(session_factory) == 0


async def test_an_unknown_provider_is_missing(browser: Browser) -> None:
    response = await browser.client.post(f"{PROVIDERS}/other/login", json={})
    assert response.status_code == 404


@pytest.mark.parametrize("operation", ["login", "callback", "token"])
async def test_cross_site_requests_are_rejected(browser: Browser, operation: str) -> None:
    answer = browser.provider.authorize(await browser.start())
    body = {} if operation == "login" else answer
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}
    link = f"{PROVIDERS}/corp/{operation}"
    response = await browser.client.post(link, json=body, headers=headers)
    assert response.status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"code": None},
        {"error": "access_denied"},
        {"state": None},
        {"state": "\ud800"},
        {"code": "\x00"},
        {"user_id": "1"},
    ],
)
async def test_invalid_callbacks_are_rejected(browser: Browser, change: dict[str, Any]) -> None:
    answer = browser.provider.authorize(await browser.start()) | change
    sent = {name: value for name, value in answer.items() if value is not None}
    # Surrogates are escaped.
    response = await browser.client.post(f"{PROVIDERS}/corp/callback", content=json.dumps(sent))
    assert response.status_code == 422
    assert "body" in response.text
    assert str(answer["code"]) not in response.text


async def test_a_login_that_the_user_refuses_is_rejected(browser: Browser) -> None:
    answer = browser.provider.authorize(await browser.start(), code=None, error="access_denied")
    response = await browser.send(answer)
    assert response.status_code == 401
    assert "access_denied" not in response.text


@pytest.mark.parametrize("target", ["/", "/orders?id=1#top", "https://app.example.com/orders"])
async def test_the_page_to_return_to_is_returned(browser: Browser, target: str) -> None:
    response = await browser.log_in(return_to=target)
    assert response.json()["return_to"] == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "orders",
        "//evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "\t//evil.test",
        " //evil.test",
        "///evil.test",
        "https://evil.test",
        "https:evil.test",
        "https://app.example.com.evil.test/",
        "https://app.example.com@evil.test/",
        "https://app.example.com:443@evil.test/",
        "https://app.example.com\\@evil.test/",
        "http://app.example.com/",
        "javascript:alert(1)",
        "data:text/html,x",
        "/" + "x" * 500,
    ],
)
async def test_other_sites_are_no_pages_to_return_to(browser: Browser, target: str) -> None:
    body = {"return_to": target}
    response = await browser.client.post(f"{PROVIDERS}/corp/login", json=body)
    assert response.status_code == 422


async def test_a_trusted_origin_can_be_returned_to(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    app = provider_app(CORS_ALLOW_ORIGINS="https://other.test", CORS_ALLOW_CREDENTIALS="true")
    async with connect(app, "https://test") as client:
        response = await Browser(client, provider).log_in(return_to="https://other.test/x")
    assert response.json()["return_to"] == "https://other.test/x"


async def test_a_login_replaces_the_session_of_the_browser(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    first = browser.client.cookies[COOKIE]
    await browser.log_in()
    assert browser.client.cookies[COOKIE] != first
    async with session_factory() as session:
        assert len((await session.scalars(select(UserSession))).all()) == 1


@pytest.mark.parametrize("operation", ["callback", "token"])
async def test_a_login_ends_the_session_of_the_bearer_token(
    browser: Browser, session_factory: SessionFactory, operation: str
) -> None:
    answer = browser.provider.authorize(await browser.start())
    token = (await browser.send(answer, operation="token")).json()["token"]
    answer = browser.provider.authorize(await browser.start())
    browser.client.headers["Authorization"] = f"Bearer {token}"
    assert (await browser.send(answer, operation=operation)).status_code == 200
    async with session_factory() as session:
        hashes = [*await session.scalars(select(UserSession.token_hash))]
    assert len(hashes) == 1
    assert hash_token(token) not in hashes


async def test_started_logins_are_throttled(
    provider_app: Callable[..., FastAPI],
    provider: CorpProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with connect(provider_app(), "https://test") as client:
        link = f"{PROVIDERS}/corp/login"
        statuses = [(await client.post(link, json={})).status_code for _ in range(53)]
    assert statuses[:50] == [200] * 50
    assert statuses[-1] == 429


async def require_totp(*_: object) -> list[str]:
    return ["totp"]


@pytest.mark.parametrize(
    ("setting", "claims", "is_proved"),
    [
        ("", {"amr": ["pwd", "mfa"]}, False),
        ("mfa", {}, False),
        ("mfa", {"amr": ["pwd"]}, False),
        ("mfa", {"amr": "mfa"}, False),
        ("mfa", {"amr": ["pwd", "mfa"]}, True),
        ("urn:gold", {"acr": "urn:gold"}, True),
        ("urn:gold", {"acr": "urn:silver"}, False),
    ],
)
async def test_accounts_with_second_factors_need_them(
    provider_app: Callable[..., FastAPI],
    provider: CorpProvider,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    claims: dict[str, Any],
    is_proved: bool,
) -> None:
    monkeypatch.setattr(login, "list_methods", require_totp)
    provider.claim_changes = claims
    async with connect(provider_app(USERS_PROVIDER_CORP_SECOND_FACTOR=setting)) as client:
        client.base_url = httpx2.URL("https://test")
        response = await Browser(client, provider).log_in()
        assert response.status_code == 200, response.text
        assert (COOKIE in client.cookies) is is_proved
        assert (response.json()["challenge"] is None) is is_proved
        assert response.json()["second_factors"] == ([] if is_proved else ["totp"])


async def authenticated_at(sessions: SessionFactory) -> float:
    async with sessions() as session:
        return (await session.scalars(select(UserSession.authenticated_at))).one().timestamp()


async def test_a_session_knows_when_its_user_was_authenticated(
    browser: Browser, session_factory: SessionFactory
) -> None:
    """The provider may not have asked for a password today."""
    browser.provider.auth_time = hour_ago = int((utc_now() - timedelta(hours=1)).timestamp())
    await browser.log_in()
    assert await authenticated_at(session_factory) == hour_ago


@pytest.mark.parametrize("value", [None, "now", True, 1e300])
async def test_without_a_time_of_authentication_a_login_is_not_recent(
    browser: Browser, session_factory: SessionFactory, value: Any
) -> None:
    browser.provider.auth_time = value
    assert (await browser.log_in()).status_code == 200
    assert await authenticated_at(session_factory) == 0


async def add_app(browser: Browser) -> list[str]:
    """Add an authenticator app to the account, and return the recovery codes."""
    link = "/api/v1/auth/second-factors/totp"
    secret = (await browser.client.post(link)).json()["secret"]
    body = {"code": pyotp.TOTP(secret).now()}
    confirmed = await browser.client.post(f"{link}/confirm", json=body)
    assert confirmed.status_code == 200, confirmed.text
    codes: list[str] = confirmed.json()["recovery_codes"]
    return codes


@pytest.mark.parametrize(("minutes", "status"), [(None, 403), (60, 403), (0, 204)])
async def test_a_second_step_does_not_make_an_old_login_with_a_provider_recent(
    browser: Browser, session_factory: SessionFactory, minutes: int | None, status: int
) -> None:
    await browser.log_in()
    codes = await add_app(browser)
    time = None if minutes is None else int((utc_now() - timedelta(minutes=minutes)).timestamp())
    browser.provider.auth_time = time
    challenge = (await browser.log_in()).json()["challenge"]
    answer = {"challenge": challenge, "method": "recovery_code", "code": codes[0]}
    response = await browser.client.post("/api/v1/auth/second-factor", json=answer)
    assert response.status_code == 204, response.text
    assert await authenticated_at(session_factory) == (time or 0)
    removal = await browser.client.delete("/api/v1/auth/second-factors/totp")
    assert removal.status_code == status
    has_error = "insufficient_user_authentication" in str(removal.headers)
    assert has_error is (status == 403)


async def test_a_renewal_asks_the_provider_to_authenticate_again(browser: Browser) -> None:
    asked = query(await browser.start(renew=True))
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert (await browser.log_in(renew=True)).status_code == 200


@pytest.mark.parametrize("seconds", [None, 60])
async def test_a_renewal_without_a_new_authentication_is_rejected(
    browser: Browser, seconds: int | None
) -> None:
    time = utc_now() - timedelta(seconds=seconds or 0)
    browser.provider.auth_time = int(time.timestamp()) if seconds else None
    assert (await browser.log_in(renew=True)).status_code == 401


async def test_secrets_are_not_logged(browser: Browser) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = browser.provider.authorize(await browser.start())
        await browser.send(answer)
        await browser.send(answer)
        await browser.log_in()
        browser.provider.token_status = 400
        await browser.log_in()
    secrets = [answer["code"], answer["state"], SECRET, "of ada", browser.client.cookies[COOKIE]]
    assert [value for value in secrets if value in str(logs)] == []
    events = [line["event"] for line in logs if line.get("audit")]
    assert events == [
        *("account created", "identity linked", "provider login", "login"),
        *("provider login", "login"),
        "provider login failed",
    ]
