"""Users of two providers who have the same subject there are two users."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from fastapi import FastAPI
from joserfc import jwt
from sqlalchemy import func, select

from app.core.database import SessionFactory
from app.core.users.authentication import COOKIE
from app.core.users.models import UserAccount, UserIdentity
from tests.core.users.conftest import AUTH
from tests.core.users.providers.browser import IDENTITIES, Browser
from tests.core.users.providers.corp_provider import CLIENT_ID, SECRET, CorpProvider
from tools.identity_server import run_identity_provider

Claims: TypeAlias = dict[str, Any]
# Makes the second provider sign an ID token, with the first one at hand.
Forge: TypeAlias = Callable[[CorpProvider, CorpProvider, Claims], str]

ADA = {"email": "ada@example.com", "email_verified": True}
BOB = {"email": "bob@example.com", "email_verified": True}


@pytest.fixture(scope="session")
def running_other() -> Iterator[CorpProvider]:
    with run_identity_provider(CorpProvider) as provider:
        yield provider


@pytest.fixture
def other(running_other: CorpProvider) -> CorpProvider:
    """A second provider, whose user has the subject of the first one's, and another address."""
    running_other.reset()
    running_other.user = BOB
    return running_other


@pytest.fixture
def app(provider_app: Callable[..., FastAPI], other: CorpProvider) -> FastAPI:
    return provider_app(
        USERS_PROVIDERS="corp,other",
        USERS_PROVIDER_OTHER_ISSUER=other.issuer,
        USERS_PROVIDER_OTHER_CLIENT_ID=CLIENT_ID,
        USERS_PROVIDER_OTHER_CLIENT_SECRET=SECRET,
    )


async def log_in(browser: Browser, name: str, provider: CorpProvider) -> int:
    """Return the status of a login with a provider, without an earlier session."""
    browser.client.cookies.clear()
    answer = provider.authorize(await browser.start(name))
    return (await browser.send(answer, name)).status_code


async def user_id(browser: Browser, name: str, provider: CorpProvider) -> str:
    """Log in with a provider, and return the account."""
    assert await log_in(browser, name, provider) == 200
    return str((await browser.me())["id"])


async def test_one_subject_at_two_providers_has_two_accounts(
    browser: Browser, other: CorpProvider
) -> None:
    assert browser.provider.subject == other.subject
    first = await user_id(browser, "corp", browser.provider)
    [identity] = await browser.identities()
    assert (identity["issuer"], identity["email"]) == (browser.provider.issuer, ADA["email"])
    second = await user_id(browser, "other", other)
    [identity] = await browser.identities()
    assert (identity["issuer"], identity["email"]) == (other.issuer, BOB["email"])
    assert first != second
    assert await user_id(browser, "corp", browser.provider) == first
    assert await user_id(browser, "other", other) == second


async def test_one_subject_and_address_at_two_providers_is_one_account_of_the_first(
    browser: Browser, other: CorpProvider, session_factory: SessionFactory
) -> None:
    await user_id(browser, "corp", browser.provider)
    other.user = ADA
    assert await log_in(browser, "other", other) == 409
    assert COOKIE not in browser.client.cookies
    async with session_factory() as session:
        for model in (UserAccount, UserIdentity):
            assert await session.scalar(select(func.count()).select_from(model)) == 1


async def test_a_subject_is_linked_for_one_provider(browser: Browser, other: CorpProvider) -> None:
    """Linking the subject of another user gives access only to what one's own provider says."""
    ada = await user_id(browser, "corp", browser.provider)
    other.subject = "bob"
    bob = await user_id(browser, "other", other)
    other.subject = browser.provider.subject
    started = await browser.start_link(provider="other")
    answer = other.authorize(started.json()["authorization_url"])
    assert (await browser.send(answer, "other")).json()["is_linked"] is True
    assert await user_id(browser, "corp", browser.provider) == ada
    assert await user_id(browser, "other", other) == bob
    linked = [identity["issuer"] for identity in await browser.identities()]
    assert linked == [other.issuer, other.issuer]


FORGED: dict[str, Forge] = {
    "the issuer of the other": lambda other, corp, claims: other.sign(
        claims | {"iss": corp.issuer}
    ),
    "and the name of its key": lambda other, corp, claims: named(
        corp, other, claims | {"iss": corp.issuer}
    ),
    "the name of its key": lambda other, corp, claims: named(corp, other, claims),
    "a token of the other": lambda _, corp, claims: corp.sign(claims | {"iss": corp.issuer}),
    "a token by the key of the other": lambda _, corp, claims: corp.sign(claims),
}


def named(corp: CorpProvider, other: CorpProvider, claims: Claims) -> str:
    """Return a token by the key of `other` that names the key of `corp`."""
    return jwt.encode({"alg": "RS256", "kid": corp.key.kid}, claims, other.key)


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("is_linked", [True, False])
async def test_a_provider_cannot_impersonate_the_users_of_another(
    browser: Browser, other: CorpProvider, forge: Forge, is_linked: bool
) -> None:
    if is_linked:
        await user_id(browser, "corp", browser.provider)
        other.user = ADA
    other.sign_id_token = lambda claims: forge(other, browser.provider, claims)
    assert await log_in(browser, "other", other) == 401
    assert COOKIE not in browser.client.cookies
    assert (await browser.client.get(f"{AUTH}/me")).status_code == 401


async def test_the_answer_of_a_provider_is_not_taken_for_that_of_another(
    browser: Browser, other: CorpProvider
) -> None:
    """A code of one must not be sent to the other, nor finish what was started there."""
    answer = other.authorize(await browser.start("corp"))
    assert (await browser.send(answer, "corp")).status_code == 401
    answer = other.authorize(await browser.start("corp"))
    assert (await browser.send(answer, "other")).status_code == 400
    assert "/token" not in [*browser.provider.requests, *other.requests]


async def test_an_identity_is_linked_by_its_own_provider(
    browser: Browser, other: CorpProvider
) -> None:
    await user_id(browser, "corp", browser.provider)
    started = await browser.start_link()
    answer = other.authorize(started.json()["authorization_url"])
    assert (await browser.send(answer, "other")).status_code == 400
    assert len((await browser.client.get(IDENTITIES)).json()) == 1
