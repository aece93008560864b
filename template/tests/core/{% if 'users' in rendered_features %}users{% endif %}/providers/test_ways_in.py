"""Removals leave an account a way to log in: a password, a provider, or a passkey alone."""

from collections.abc import Callable, Iterator
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from app.core.database import SessionFactory
from app.core.users.factors.settings import get_factor_settings
from app.core.users.models import UserIdentity
from tests.conftest import connect
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import ADA, AUTH, PASSWORD, FollowLink
from tests.core.users.factors.authenticator import Authenticator
from tests.core.users.factors.conftest import FACTORS
from tests.core.users.providers.browser import Browser
from tests.core.users.providers.test_identities import set_password, unlink


@pytest.fixture
def app(provider_app: Callable[..., FastAPI]) -> FastAPI:
    return provider_app()


@pytest.fixture
async def browser(browser: Browser) -> Browser:
    """A browser with an account that only its provider can log in to."""
    assert (await browser.log_in()).status_code == 200
    return browser


@pytest.fixture
def set_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def set_variable(domain: str) -> None:
        monkeypatch.setenv("USERS_PASSKEY_RP_ID", domain)
        get_factor_settings.cache_clear()

    yield set_variable
    get_factor_settings.cache_clear()


async def add_passkey(browser: Browser, passkey: Authenticator) -> str:
    """Return the id of a new passkey."""
    options = (await browser.client.post(f"{FACTORS}/passkeys/options")).json()
    body = {"credential": passkey.create(options), "name": "Phone"}
    response = await browser.client.post(f"{FACTORS}/passkeys", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def log_in_by_passkey(browser: Browser, passkey: Authenticator) -> int:
    options = (await browser.client.post(f"{AUTH}/passkey-options")).json()
    body = {"credential": passkey.get(options)}
    return (await browser.client.post(f"{AUTH}/passkey-login", json=body)).status_code


async def use_only(browser: Browser, passkey: Authenticator) -> str:
    """Make a new passkey the only way in, and return its id."""
    key = await add_passkey(browser, passkey)
    assert await log_in_by_passkey(browser, passkey) == 204
    assert (await unlink_one(browser)).status_code == 204
    return key


async def unlink_one(browser: Browser) -> httpx2.Response:
    """Unlink the one identity."""
    [identity] = await browser.identities()
    return await unlink(browser, identity["id"])


async def remove(browser: Browser, key: str) -> httpx2.Response:
    return await browser.client.delete(f"{FACTORS}/passkeys/{key}")


async def test_a_passkey_that_has_logged_in_alone_is_a_way_in(browser: Browser) -> None:
    passkey = Authenticator()
    await add_passkey(browser, passkey)
    # Nobody knows yet whether its device finds it without an address, and verifies its user.
    response = await unlink_one(browser)
    assert response.status_code == 409
    assert "only way to log in" in response.json()["detail"]
    assert len(await browser.identities()) == 1
    assert await log_in_by_passkey(browser, passkey) == 204
    assert (await unlink_one(browser)).status_code == 204
    browser.client.cookies.clear()
    assert await log_in_by_passkey(browser, passkey) == 204


async def test_a_passkey_that_does_not_verify_its_user_is_no_way_in(browser: Browser) -> None:
    passkey = Authenticator(verifies_user=False)
    await add_passkey(browser, passkey)
    assert await log_in_by_passkey(browser, passkey) == 401
    # As a second factor, it works.
    challenge = (await browser.log_in()).json()["challenge"]
    path = f"{AUTH}/second-factor"
    options = await browser.client.post(f"{path}/passkey-options", json={"challenge": challenge})
    credential = passkey.get(options.json())
    body = {"challenge": challenge, "method": "passkey", "credential": credential}
    assert (await browser.client.post(path, json=body)).status_code == 204
    assert (await unlink_one(browser)).status_code == 409


async def test_the_last_passkey_stays(browser: Browser, session_factory: SessionFactory) -> None:
    passkey = Authenticator()
    key = await use_only(browser, passkey)
    response = await remove(browser, key)
    assert response.status_code == 409
    assert "only way to log in" in response.json()["detail"]
    assert await log_in_by_passkey(browser, passkey) == 204
    await set_password(session_factory)
    assert (await remove(browser, key)).status_code == 204


async def test_the_ways_into_other_accounts_do_not_count(app: FastAPI, browser: Browser) -> None:
    key = await use_only(browser, Authenticator())
    browser.provider.subject = "bob"
    browser.provider.user = {"email": "bob@example.com", "email_verified": True}
    async with connect(app, "https://test") as client:
        other, passkey = Browser(client, browser.provider), Authenticator()
        await other.log_in()
        await add_passkey(other, passkey)
        assert await log_in_by_passkey(other, passkey) == 204
    assert (await remove(browser, key)).status_code == 409


async def test_owners_of_only_passkeys_set_a_password_after_a_reset_of_the_factors(
    browser: Browser, authorize: Authorize, follow_link: FollowLink, jobs: JobRunner
) -> None:
    passkey = Authenticator()
    await use_only(browser, passkey)
    path = f"/api/v1/users/{(await browser.me())['id']}/second-factors"
    browser.client.cookies.clear()
    administrator = await authorize("user:write")
    assert (await browser.client.delete(path, headers=administrator)).status_code == 204
    assert await log_in_by_passkey(browser, passkey) == 401
    await jobs.run()
    await browser.client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    body = {"token": await follow_link(), "password": PASSWORD}
    assert (await browser.client.post(f"{AUTH}/reset-password", json=body)).status_code == 204
    credentials = {"email": ADA, "password": PASSWORD}
    response = await browser.client.post(f"{AUTH}/login", json=credentials)
    assert (response.status_code, response.json()["challenge"]) == (200, None)


async def test_a_lost_factor_does_not_hinder_a_new_password_before_the_reset(
    browser: Browser, authorize: Authorize, follow_link: FollowLink, jobs: JobRunner
) -> None:
    """The order for an owner whose password someone else may know."""
    user_id = (await browser.me())["id"]
    await add_passkey(browser, Authenticator())
    browser.client.cookies.clear()
    await jobs.run()
    await browser.client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    body = {"token": await follow_link(), "password": PASSWORD}
    assert (await browser.client.post(f"{AUTH}/reset-password", json=body)).status_code == 204
    credentials = {"email": ADA, "password": PASSWORD}
    response = await browser.client.post(f"{AUTH}/login", json=credentials)
    assert response.json()["second_factors"] == ["passkey", "recovery_code"]
    administrator = await authorize("user:write")
    path = f"/api/v1/users/{user_id}/second-factors"
    assert (await browser.client.delete(path, headers=administrator)).status_code == 204
    response = await browser.client.post(f"{AUTH}/login", json=credentials)
    assert (response.status_code, response.json()["challenge"]) == (200, None)


async def test_of_two_passkeys_one_that_logs_in_alone_stays(browser: Browser) -> None:
    passkey, security_key = Authenticator(), Authenticator(verifies_user=False)
    other_key = await add_passkey(browser, security_key)
    key = await use_only(browser, passkey)
    assert (await remove(browser, key)).status_code == 409
    assert (await remove(browser, other_key)).status_code == 204


async def test_with_an_identity_the_last_passkey_can_be_removed(browser: Browser) -> None:
    key = await add_passkey(browser, Authenticator())
    assert (await remove(browser, key)).status_code == 204


async def test_an_identity_of_a_provider_that_is_gone_is_no_way_in(
    browser: Browser, session_factory: SessionFactory
) -> None:
    key = await use_only(browser, Authenticator())
    user_id = UUID((await browser.me())["id"])
    async with session_factory.begin() as session:
        session.add(UserIdentity(user_id=user_id, issuer="https://gone.test", subject="ada"))
    assert (await remove(browser, key)).status_code == 409


async def test_a_passkey_of_a_former_domain_is_no_way_in(
    browser: Browser, set_domain: Callable[[str], None]
) -> None:
    passkey = Authenticator()
    key = await add_passkey(browser, passkey)
    assert await log_in_by_passkey(browser, passkey) == 204
    set_domain("example.com")
    assert (await unlink_one(browser)).status_code == 409
    assert await log_in_by_passkey(browser, passkey) == 401
    # With the identity, nothing needs it.
    assert (await remove(browser, key)).status_code == 204
