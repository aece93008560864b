"""Only ID tokens that the provider has issued for this login and this client are accepted."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import select

from app.core.database import SessionFactory
from app.core.users.models import UserAccount, UserSession
from app.core.users.providers import client
from tests.conftest import connect
from tests.core.users.providers.browser import PROVIDERS, Browser
from tests.core.users.providers.corp_provider import CLIENT_ID, SECRET, CorpProvider

KEYS_FAILURE = "the provider's keys could not be fetched"
OTHER_ALGORITHM = "ID token is not signed with an accepted algorithm: RS256, ES256"
NOW = int(time.time())


@pytest.fixture
def app(provider_app: Callable[..., FastAPI]) -> FastAPI:
    return provider_app()


@pytest.fixture
async def _no_account(session_factory: SessionFactory) -> AsyncIterator[None]:
    """The test leaves no account."""
    yield
    async with session_factory() as session:
        assert (await session.scalars(select(UserAccount))).all() == []


async def rejection(browser: Browser) -> str:
    """Return the reason in the audit log why a login was rejected."""
    with structlog.testing.capture_logs() as logs:
        response = await browser.log_in()
    assert response.status_code == 401
    assert "Set-Cookie" not in response.headers
    [reason] = [line["reason"] for line in logs if line["event"] == "provider login failed"]
    return str(reason)


@pytest.mark.usefixtures("_no_account")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.test"}, "is from another issuer"),
        ({"iss": None}, "lacks a required claim: iss"),
        ({"iss": ["http://127.0.0.1"]}, "is from another issuer"),
        ({"aud": "other"}, "is meant for another audience"),
        ({"aud": None}, "lacks a required claim: aud"),
        ({"aud": []}, "is meant for another audience"),
        ({"aud": {"app": 1}}, "is meant for another audience"),
        ({"aud": [CLIENT_ID, "other"]}, "has several audiences, and no `azp`"),
        ({"aud": [CLIENT_ID, "other"], "azp": "other"}, "was issued to another client"),
        ({"azp": "other"}, "was issued to another client"),
        ({"azp": [CLIENT_ID]}, "was issued to another client"),
        ({"exp": NOW - 60}, "has expired"),
        ({"exp": None}, "lacks a required claim: exp"),
        ({"exp": "soon"}, "has an invalid `exp`"),
        ({"iat": NOW + 600}, "was issued in the future"),
        ({"iat": None}, "lacks a required claim: iat"),
        ({"nbf": NOW + 600}, "is not valid yet"),
        ({"nonce": "other"}, "belongs to another login"),
        ({"nonce": None}, "belongs to another login"),
        ({"nonce": "\u00e4"}, "belongs to another login"),
        ({"nonce": 1}, "belongs to another login"),
        ({"sub": None}, "lacks a required claim: sub"),
        ({"sub": ""}, "has an invalid `sub`"),
        ({"sub": 1}, "has an invalid `sub`"),
        ({"sub": "ada "}, "is not printable ASCII"),
        ({"sub": "a\nda"}, "is not printable ASCII"),
        ({"sub": "\u00e4da"}, "is not printable ASCII"),
        ({"sub": "a" * 256}, "is not printable ASCII"),
    ],
)
async def test_tokens_with_wrong_claims_are_rejected(
    browser: Browser, changes: dict[str, Any], reason: str
) -> None:
    browser.provider.claim_changes = changes
    assert reason in await rejection(browser)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [CLIENT_ID]},
        {"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID},
        {"azp": CLIENT_ID},
        {"unknown": {"nested": []}},
        {"sub": "auth0|Ada Lovelace"},
    ],
)
async def test_tokens_with_right_claims_are_accepted(
    browser: Browser, changes: dict[str, Any]
) -> None:
    browser.provider.claim_changes = changes
    if "sub" in changes:
        browser.provider.subject = changes["sub"]
    assert (await browser.log_in()).status_code == 200


async def test_clocks_may_differ_by_seconds(browser: Browser) -> None:
    browser.provider.claim_changes = {"exp": int(time.time()) - 5}
    assert (await browser.log_in()).status_code == 200


@pytest.mark.usefixtures("_no_account")
@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("sign_with_public_key", OTHER_ALGORITHM),
        ("sign_with_client_secret", OTHER_ALGORITHM),
        ("sign_not_at_all", OTHER_ALGORITHM),
        ("sign_with_foreign_key", "ID token has an invalid signature"),
        ("sign_with_another_algorithm", OTHER_ALGORITHM),
    ],
)
async def test_tokens_with_wrong_signatures_are_rejected(
    browser: Browser, method: str, reason: str
) -> None:
    browser.provider.sign_id_token = getattr(browser.provider, method)
    assert await rejection(browser) == reason


@pytest.mark.usefixtures("_no_account")
@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c", "..", "e30.e30.", "\u00e4.b.c", "x" * 70_000]
)
async def test_malformed_tokens_are_rejected(browser: Browser, token: str) -> None:
    browser.provider.sign_id_token = lambda _: token
    assert (await browser.log_in()).status_code == 401


@pytest.mark.usefixtures("_no_account")
async def test_a_tampered_token_is_rejected(browser: Browser) -> None:
    def tamper(claims: dict[str, Any]) -> str:
        header, _, signature = browser.provider.sign(claims).split(".")
        _, payload, _ = browser.provider.sign(claims | {"sub": "bob"}).split(".")
        return f"{header}.{payload}.{signature}"

    browser.provider.sign_id_token = tamper
    assert (await browser.log_in()).status_code == 401


@pytest.fixture
def _no_cooldown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch what the provider publishes as often as it is asked for."""
    monkeypatch.setattr(client, "REFETCH_COOLDOWN", 0)
    monkeypatch.setattr(client, "DOCUMENTS_LIFETIME", 0)


@pytest.mark.usefixtures("_no_cooldown")
async def test_a_new_key_of_the_provider_is_accepted(browser: Browser) -> None:
    assert (await browser.log_in()).status_code == 200
    browser.provider.rotate_keys()
    assert (await browser.log_in()).status_code == 200


@pytest.mark.usefixtures("_no_cooldown")
async def test_new_metadata_of_the_provider_are_used(browser: Browser) -> None:
    await browser.start()
    endpoint = f"{browser.provider.issuer}/new"
    browser.provider.metadata_changes = {"authorization_endpoint": endpoint}
    assert (await browser.start()).startswith(f"{endpoint}?")


async def test_what_the_provider_publishes_is_fetched_once(browser: Browser) -> None:
    for _ in range(3):
        assert (await browser.log_in()).status_code == 200
    assert browser.provider.requests.count("/.well-known/openid-configuration") == 1
    assert browser.provider.requests.count("/keys") == 1


@pytest.mark.usefixtures("_no_account")
async def test_unknown_keys_do_not_cause_a_flood_of_fetches(browser: Browser) -> None:
    await browser.start()
    browser.provider.requests.clear()
    browser.provider.rotate_keys()
    for _ in range(3):
        assert (await browser.log_in()).status_code == 401
    assert browser.provider.requests.count("/keys") == 0


async def test_the_address_can_come_from_the_user_info(browser: Browser) -> None:
    browser.provider.user_info, browser.provider.user = browser.provider.user, {}
    assert (await browser.log_in()).status_code == 200
    assert (await browser.me())["email"] == "ada@example.com"


async def test_the_user_info_proves_nothing_but_the_address(
    browser: Browser, session_factory: SessionFactory
) -> None:
    browser.provider.user_info = browser.provider.user | {"auth_time": NOW}
    browser.provider.user = {}
    browser.provider.auth_time = None
    assert (await browser.log_in()).status_code == 200
    async with session_factory() as session:
        row = (await session.scalars(select(UserSession))).one()
        assert row.authenticated_at.timestamp() == 0


@pytest.mark.usefixtures("_no_account")
async def test_the_user_info_of_another_user_is_rejected(browser: Browser) -> None:
    browser.provider.user_info = browser.provider.user | {"sub": "bob"}
    browser.provider.user = {}
    assert (await browser.log_in()).status_code == 401


def break_user_info(provider: CorpProvider) -> None:
    """Let only the user info have the address, and be too large to be read."""
    provider.user_info, provider.user = provider.user | {"more": "x" * 1_000_000}, {}


async def test_a_linked_user_needs_no_user_info(browser: Browser) -> None:
    await browser.log_in()
    break_user_info(browser.provider)
    assert (await browser.log_in()).status_code == 200
    browser.provider.subject = "new user"
    response = await browser.log_in()
    assert response.status_code == 503
    assert "provider is unavailable" in response.json()["detail"]


@pytest.mark.parametrize(
    ("domain_claim", "claims", "status"), [("", {}, 503), ("hd", {"hd": "example.com"}, 200)]
)
async def test_a_linked_user_needs_a_domain_that_is_allowed(
    provider_app: Callable[..., FastAPI],
    provider: CorpProvider,
    domain_claim: str,
    claims: dict[str, str],
    status: int,
) -> None:
    provider.claim_changes = claims
    app = provider_app(
        USERS_PROVIDER_CORP_ALLOWED_DOMAINS="example.com",
        USERS_PROVIDER_CORP_DOMAIN_CLAIM=domain_claim,
    )
    async with connect(app, "https://test") as client:
        browser = Browser(client, provider)
        assert (await browser.log_in()).status_code == 200
        break_user_info(provider)
        assert (await browser.log_in()).status_code == status
        if not domain_claim:
            del provider.user_info["more"]
            assert (await browser.log_in()).status_code == 200
            provider.user_info = {"email": "ada@example.org", "email_verified": True}
            assert (await browser.log_in()).status_code == 403


async def test_the_client_can_authenticate_in_the_form(browser: Browser) -> None:
    methods = ["client_secret_post", "private_key_jwt"]
    browser.provider.metadata_changes = {"token_endpoint_auth_methods_supported": methods}
    assert (await browser.log_in()).status_code == 200


async def test_a_wrong_secret_is_rejected_and_logged(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    app = provider_app(USERS_PROVIDER_CORP_CLIENT_SECRET="wrong secret")  # noqa: S106
    async with connect(app, "https://test") as client:
        with structlog.testing.capture_logs() as logs:
            assert (await Browser(client, provider).log_in()).status_code == 401
    [line] = [line for line in logs if line["event"] == "provider rejected a code"]
    assert line["error"] == "invalid_client"
    assert "wrong secret" not in str(logs)
    assert SECRET not in str(logs)


@pytest.mark.parametrize("status", [500, 302])
async def test_a_failing_token_endpoint_is_a_503(browser: Browser, status: int) -> None:
    browser.provider.token_status = status
    assert (await browser.log_in()).status_code == 503


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.test"},
        {"jwks_uri": "http://evil.test/keys"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://evil.test/authorize"},
        {"authorization_endpoint": None},
    ],
)
async def test_unusable_metadata_is_a_503(browser: Browser, changes: dict[str, Any]) -> None:
    browser.provider.metadata_changes = changes
    response = await browser.client.post(f"{PROVIDERS}/corp/login", json={})
    assert response.status_code == 503
    assert "evil" not in response.text


async def test_the_reason_of_a_failed_fetch_names_the_provider_and_the_variable(
    browser: Browser,
) -> None:
    browser.provider.metadata_changes = {"issuer": "https://evil.test"}
    with structlog.testing.capture_logs() as logs:
        await browser.client.post(f"{PROVIDERS}/corp/login", json={})
    [line] = [line for line in logs if line["event"] == KEYS_FAILURE]
    assert line["issuer"] == browser.provider.issuer
    assert line["reason"].endswith("differs from USERS_PROVIDER_CORP_ISSUER")


async def test_a_provider_that_is_down_is_a_503(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    app = provider_app(USERS_PROVIDER_CORP_ISSUER="http://127.0.0.1:1")
    async with connect(app, "https://test") as client:
        response = await client.post(f"{PROVIDERS}/corp/login", json={})
        assert response.status_code == 503
        assert "Retry-After" in response.headers
        # The application works without it.
        assert (await client.get(PROVIDERS)).status_code == 200


async def failure(app: FastAPI) -> str:
    """Return the logged reason of a 503, which comes long before a slow response would end."""
    with structlog.testing.capture_logs() as logs:
        async with connect(app, "https://test") as client:
            started = time.monotonic()
            response = await client.post(f"{PROVIDERS}/corp/login", json={})
    assert response.status_code == 503
    assert time.monotonic() - started < 30
    [reason] = [line["reason"] for line in logs if line["event"] == KEYS_FAILURE]
    return str(reason)


async def test_a_slow_provider_is_a_503_in_time(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    provider.delay = 60
    reason = await failure(provider_app(USERS_PROVIDER_CORP_TIMEOUT="0.1"))
    assert reason.endswith("/.well-known/openid-configuration: no response within 0.1 s")


@pytest.mark.usefixtures("_no_cooldown")
async def test_known_metadata_survive_an_outage(browser: Browser) -> None:
    assert (await browser.log_in()).status_code == 200
    browser.provider.metadata_changes = {"issuer": "https://evil.test"}
    assert (await browser.log_in()).status_code == 200


@pytest.mark.parametrize(
    ("path", "limit", "reason"),
    [
        ("moved", "5", "status 307 instead of 200"),
        ("slow", "1", "no response within 1 s"),
        ("huge", "5", "more than 524288 bytes"),
    ],
)
async def test_responses_are_read_without_redirects_and_with_limits(
    provider_app: Callable[..., FastAPI],
    provider: CorpProvider,
    path: str,
    limit: str,
    reason: str,
) -> None:
    provider.metadata_changes = {"jwks_uri": f"{provider.issuer}/{path}"}
    app = provider_app(USERS_PROVIDER_CORP_TIMEOUT=limit)
    assert await failure(app) == f"{provider.issuer}/{path}: {reason}"
    assert "/keys" not in provider.requests
