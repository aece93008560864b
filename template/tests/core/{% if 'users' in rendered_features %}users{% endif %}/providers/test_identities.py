"""Which accounts the users of a provider get, and how identities are linked and unlinked."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import select, update

from app.core.database import SessionFactory
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.users.authentication import COOKIE
from app.core.users.models import UserAccount, UserIdentity, UserSession
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.providers.identities import MAX_IDENTITIES
from tests.conftest import connect
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import Configure
from tests.core.users.providers.browser import IDENTITIES, Browser
from tests.core.users.providers.corp_provider import CorpProvider

ADDRESS = "ada@example.com"
PASSWORD = "correct horse battery staple"  # noqa: S105


@pytest.fixture
def app(provider_app: Callable[..., FastAPI]) -> FastAPI:
    return provider_app()


async def find_accounts(sessions: SessionFactory) -> list[UserAccount]:
    async with sessions() as session:
        return [*await session.scalars(select(UserAccount))]


async def add_account(sessions: SessionFactory, **values: Any) -> UserAccount:
    async with sessions.begin() as session:
        account = UserAccount(email=ADDRESS, **values)
        session.add(account)
    return account


@pytest.fixture
async def owner(browser: Browser, authorize: Authorize) -> Browser:
    """A browser that is logged in to an account without a password and without identities."""
    headers = await authorize()
    browser.client.cookies.set(COOKIE, headers["Authorization"].removeprefix("Bearer "))
    return browser


async def set_password(sessions: SessionFactory) -> None:
    hashed = await get_password_hasher().hash(PASSWORD)
    async with sessions.begin() as session:
        await session.execute(update(UserAccount).values(password_hash=hashed))


async def test_links_that_are_started_are_throttled(owner: Browser, configure: Configure) -> None:
    configure(login_attempts_by_address=3, login_wait=60)
    statuses = [(await owner.start_link()).status_code for _ in range(4)]
    assert statuses == [200] * 3 + [429]


async def make_login_old(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        old = utc_now() - timedelta(hours=1)
        await session.execute(update(UserSession).values(authenticated_at=old))


async def test_a_user_keeps_the_account_when_the_address_changes(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    first = await browser.me()
    browser.provider.user = {"email": "new@example.com", "email_verified": True}
    await browser.log_in()
    assert (await browser.me())["id"] == first["id"]
    assert (await browser.me())["email"] == ADDRESS
    browser.provider.user = {}
    assert (await browser.log_in()).status_code == 200
    assert len(await find_accounts(session_factory)) == 1


async def test_another_user_of_the_provider_gets_another_account(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    browser.provider.subject = "ADA"
    browser.provider.user = {"email": "other@example.com", "email_verified": True}
    await browser.log_in()
    assert len(await find_accounts(session_factory)) == 2


async def test_a_user_who_got_the_address_of_another_gets_no_account(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    browser.client.cookies.clear()
    browser.provider.subject = "successor"
    assert (await browser.log_in()).status_code == 409
    assert COOKIE not in browser.client.cookies


@pytest.mark.parametrize(
    ("user", "status"),
    [
        ({"email": ADDRESS, "email_verified": True}, 200),
        ({"email": "Ada@Example.COM", "email_verified": "true"}, 200),
        ({"email": ADDRESS, "email_verified": False}, 403),
        ({"email": ADDRESS, "email_verified": "false"}, 403),
        ({"email": ADDRESS, "email_verified": 1}, 403),
        ({"email": ADDRESS}, 403),
        ({}, 403),
        ({"email": "", "email_verified": True}, 403),
        ({"email": [ADDRESS], "email_verified": True}, 403),
        ({"email": "ada@example.com, bob@example.com", "email_verified": True}, 403),
        ({"email": "ada@ex\u00e4mple.com", "email_verified": True}, 403),
        ({"email": "a" * 250 + "@example.com", "email_verified": True}, 403),
    ],
)
async def test_only_verified_addresses_get_an_account(
    browser: Browser, session_factory: SessionFactory, user: dict[str, Any], status: int
) -> None:
    browser.provider.user = user
    assert (await browser.log_in()).status_code == status
    emails = [account.email for account in await find_accounts(session_factory)]
    assert emails == ([ADDRESS] if status == 200 else [])


async def test_addresses_of_a_trusted_directory_count_as_verified(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    app = provider_app(USERS_PROVIDER_CORP_TRUST_EMAIL="true")
    async with connect(app, "https://test") as client:
        provider.user = {"email": ADDRESS, "email_verified": False}
        assert (await Browser(client, provider).log_in()).status_code == 403
        provider.user = {"email": ADDRESS}
        assert (await Browser(client, provider).log_in()).status_code == 200


@pytest.mark.parametrize(
    "account",
    [
        # Verified, with a password.
        {"email_verified_at": utc_now(), "password_hash": "x"},
        # Invited: only who receives its mails may accept, and get the roles.
        {"roles": ["administrator"]},
        # As an attacker might have prepared it.
        {"password_hash": "x"},
        {"email_verified_at": utc_now(), "deactivated_at": utc_now()},
    ],
)
async def test_an_existing_account_is_not_taken(
    browser: Browser, session_factory: SessionFactory, account: dict[str, Any]
) -> None:
    await add_account(session_factory, **account)
    with structlog.testing.capture_logs() as logs:
        response = await browser.log_in()
    assert response.status_code == 409
    assert "Set-Cookie" not in response.headers
    [line] = [line for line in logs if line.get("audit")]
    assert (line["event"], line["reason"]) == ("provider login rejected", "EmailTakenError")
    async with session_factory() as session:
        assert (await session.scalars(select(UserIdentity))).all() == []


async def test_a_sign_up_with_the_address_of_another_prepares_nothing(
    browser: Browser, jobs: JobRunner, mails: list[Mail]
) -> None:
    """An attacker who has signed up with the address first cannot get in later."""
    response = await browser.client.post("/api/v1/auth/sign-up", json={"email": ADDRESS})
    assert response.status_code == 202
    await jobs.run()
    token = mails[0].text.partition("token=")[2].split()[0]
    assert (await browser.log_in()).status_code == 200
    body = {"token": token, "password": PASSWORD}
    response = await browser.client.post("/api/v1/auth/verify-email", json=body)
    assert response.status_code == 409
    assert (await browser.me())["has_password"] is False


async def test_without_sign_up_only_linked_users_log_in(
    browser: Browser, provider: CorpProvider, configure: Configure
) -> None:
    await browser.log_in()
    configure(sign_up="false")
    assert (await browser.log_in()).status_code == 200
    provider.subject = "bob"
    provider.user = {"email": "bob@example.com", "email_verified": True}
    assert (await browser.log_in()).status_code == 403


@pytest.mark.parametrize(
    ("variables", "claims", "status"),
    [
        ({"ALLOWED_DOMAINS": "Example.com,other.com"}, {}, 200),
        ({"ALLOWED_DOMAINS": "other.com"}, {}, 403),
        ({"ALLOWED_DOMAINS": "ample.com"}, {}, 403),
        ({"ALLOWED_DOMAINS": "example.com"}, {"email_verified": False}, 403),
        ({"ALLOWED_DOMAINS": "example.com", "DOMAIN_CLAIM": "hd"}, {}, 403),
        ({"ALLOWED_DOMAINS": "example.com", "DOMAIN_CLAIM": "hd"}, {"hd": "other.com"}, 403),
        ({"ALLOWED_DOMAINS": "other.com", "DOMAIN_CLAIM": "hd"}, {"hd": "other.com"}, 200),
    ],
)
async def test_only_allowed_domains_log_in(
    provider_app: Callable[..., FastAPI],
    provider: CorpProvider,
    variables: dict[str, str],
    claims: dict[str, Any],
    status: int,
) -> None:
    named = {f"USERS_PROVIDER_CORP_{name}": value for name, value in variables.items()}
    provider.claim_changes = claims
    async with connect(provider_app(**named), "https://test") as client:
        assert (await Browser(client, provider).log_in()).status_code == status


async def test_a_deactivated_account_cannot_log_in(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
    browser.client.cookies.clear()
    assert (await browser.log_in()).status_code == 403
    assert COOKIE not in browser.client.cookies


async def test_an_identity_is_linked_to_the_account_of_the_session(
    owner: Browser, jobs: JobRunner, mails: list[Mail]
) -> None:
    before = await owner.me()
    token = owner.client.cookies[COOKIE]
    response = await owner.link()
    assert response.status_code == 200
    assert response.json()["is_linked"] is True
    assert owner.client.cookies[COOKIE] == token
    [identity] = await owner.identities()
    assert (identity["issuer"], identity["email"]) == (owner.provider.issuer, ADDRESS)
    await jobs.run()
    assert [mail.to for mail in mails] == [before["email"]]
    assert "corp" in mails[0].subject
    owner.client.cookies.clear()
    await owner.log_in()
    assert (await owner.me())["id"] == before["id"]


async def test_an_identity_of_another_domain_is_not_linked(
    provider_app: Callable[..., FastAPI], provider: CorpProvider
) -> None:
    app = provider_app(USERS_PROVIDER_CORP_ALLOWED_DOMAINS="example.com")
    async with connect(app, "https://test") as client:
        browser = Browser(client, provider)
        await browser.log_in()
        provider.subject = "second"
        provider.user = {"email": "ada@other.com", "email_verified": True}
        assert (await browser.link()).status_code == 403
        assert len(await browser.identities()) == 1


async def test_linking_twice_changes_nothing(owner: Browser) -> None:
    assert (await owner.link()).status_code == 200
    assert (await owner.link()).status_code == 200
    assert len(await owner.identities()) == 1


async def test_the_number_of_identities_is_limited(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    user_id = UUID((await browser.me())["id"])
    async with session_factory.begin() as session:
        session.add_all(
            UserIdentity(user_id=user_id, issuer="https://gone.test", subject=str(number))
            for number in range(MAX_IDENTITIES - 1)
        )
    # That of the first login is linked already.
    assert (await browser.link()).status_code == 200
    browser.provider.subject = "one too many"
    response = await browser.link()
    assert response.status_code == 409
    assert "unlink one first" in response.json()["detail"]
    identities = await browser.identities()
    assert len(identities) == MAX_IDENTITIES
    assert (await unlink(browser, identities[-1]["id"])).status_code == 204
    assert (await browser.link()).status_code == 200


async def test_linking_needs_a_session(browser: Browser) -> None:
    assert (await browser.start_link()).status_code == 401


async def test_linking_needs_a_recent_login_or_the_password(
    owner: Browser, session_factory: SessionFactory
) -> None:
    await set_password(session_factory)
    await make_login_old(session_factory)
    assert (await owner.start_link()).status_code == 403
    assert (await owner.start_link(current_password="wrong")).status_code == 403  # noqa: S106
    assert (await owner.start_link(current_password=PASSWORD)).status_code == 200


async def test_linking_ends_with_the_session(owner: Browser) -> None:
    started = await owner.start_link()
    answer = owner.provider.authorize(started.json()["authorization_url"])
    await owner.client.post("/api/v1/auth/logout")
    assert (await owner.send(answer)).status_code == 400


async def test_a_link_that_another_browser_has_started_is_rejected(
    app: FastAPI, owner: Browser, authorize: Authorize
) -> None:
    """An attacker cannot get the identity of a visitor linked to the attacker's account."""
    started = await owner.start_link()
    async with connect(app, "https://test") as client:
        visitor = Browser(client, owner.provider)
        await visitor.start()
        answer = owner.provider.authorize(started.json()["authorization_url"])
        assert (await visitor.send(answer)).status_code == 400
    assert await owner.identities() == []


async def test_the_identity_of_another_account_is_not_linked(
    app: FastAPI, owner: Browser, provider: CorpProvider
) -> None:
    async with connect(app, "https://test") as client:
        assert (await Browser(client, provider).log_in()).status_code == 200
    assert (await owner.link()).status_code == 409
    assert await owner.identities() == []


async def test_linking_to_a_deactivated_account_is_rejected(
    owner: Browser, session_factory: SessionFactory
) -> None:
    started = await owner.start_link()
    answer = owner.provider.authorize(started.json()["authorization_url"])
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
    assert (await owner.send(answer)).status_code == 400


async def unlink(browser: Browser, identity_id: str, **data: Any) -> httpx2.Response:
    return await browser.client.post(f"{IDENTITIES}/{identity_id}/unlink", json=data)


async def test_the_only_way_to_log_in_stays(
    browser: Browser, session_factory: SessionFactory, jobs: JobRunner, mails: list[Mail]
) -> None:
    await browser.log_in()
    [identity] = await browser.identities()
    response = await unlink(browser, identity["id"])
    assert response.status_code == 409
    assert "only way to log in" in response.json()["detail"]
    await set_password(session_factory)
    assert (await unlink(browser, identity["id"])).status_code == 204
    assert await browser.identities() == []
    await jobs.run()
    assert "removed" in mails[-1].subject
    # Its address has an account.
    assert (await browser.log_in()).status_code == 409


async def test_one_of_two_identities_can_be_unlinked(browser: Browser) -> None:
    await browser.log_in()
    browser.provider.subject = "second"
    assert (await browser.link()).status_code == 200
    first, second = await browser.identities()
    assert (await unlink(browser, second["id"])).status_code == 204
    assert (await unlink(browser, first["id"])).status_code == 409


async def test_an_identity_of_a_provider_that_is_gone_is_no_way_to_log_in(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    user_id = UUID((await browser.me())["id"])
    async with session_factory.begin() as session:
        session.add(UserIdentity(user_id=user_id, issuer="https://gone.test", subject="ada"))
    first, _ = await browser.identities()
    assert (await unlink(browser, first["id"])).status_code == 409


async def test_unlinking_needs_a_recent_login(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    await set_password(session_factory)
    await make_login_old(session_factory)
    [identity] = await browser.identities()
    assert (await unlink(browser, identity["id"])).status_code == 403
    response = await unlink(browser, identity["id"], current_password=PASSWORD)
    assert response.status_code == 204


async def test_the_identities_of_others_are_missing(
    app: FastAPI, owner: Browser, provider: CorpProvider
) -> None:
    async with connect(app, "https://test") as client:
        other = Browser(client, provider)
        await other.log_in()
        [identity] = await other.identities()
        assert await owner.identities() == []
        assert (await unlink(owner, identity["id"])).status_code == 404
        assert len(await other.identities()) == 1


async def test_identities_end_with_their_account(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    assert (await browser.client.post("/api/v1/auth/delete-account", json={})).status_code == 204
    async with session_factory() as session:
        assert (await session.scalars(select(UserIdentity))).all() == []
    assert (await browser.log_in()).status_code == 200
