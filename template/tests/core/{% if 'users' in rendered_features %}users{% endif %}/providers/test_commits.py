"""Parallel requests, and what stays of those that fail, on connections of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.users.accounts import lock_account
from app.core.users.models import (
    UserAccount,
    UserChallenge,
    UserIdentity,
    UserPasskey,
    UserProviderLogin,
    UserSession,
    UserThrottle,
)
from tests.core.users.factors.authenticator import Authenticator
from tests.core.users.providers.browser import IDENTITIES, Browser
from tests.core.users.providers.test_ways_in import add_passkey, log_in_by_passkey, remove, unlink


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in (UserAccount, UserChallenge, UserProviderLogin, UserThrottle, QueuedJob):
            await session.execute(delete(model))


@pytest.fixture
def app(provider_app: Callable[..., FastAPI]) -> FastAPI:
    return provider_app()


async def count(sessions: SessionFactory, model: type) -> int:
    async with sessions() as session:
        return (await session.scalars(select(func.count()).select_from(model))).one()


async def test_of_parallel_callbacks_one_wins(
    browser: Browser, session_factory: SessionFactory
) -> None:
    answer = browser.provider.authorize(await browser.start())
    async with session_factory.begin() as session:
        # Until it ends, all have found the row, and none can delete it.
        await session.execute(update(UserProviderLogin).values(return_to="/"))
        requests = [asyncio.create_task(browser.send(answer)) for _ in range(5)]
        await asyncio.sleep(0.5)
    responses = await asyncio.gather(*requests)
    assert sorted(response.status_code for response in responses) == [200, 400, 400, 400, 400]
    assert browser.provider.requests.count("/token") == 1
    assert await count(session_factory, UserSession) == 1


async def test_a_state_is_used_up_by_a_login_that_fails(
    browser: Browser, session_factory: SessionFactory
) -> None:
    answer = browser.provider.authorize(await browser.start())
    assert (await browser.send(answer | {"code": "wrong"})).status_code == 401
    assert await count(session_factory, UserProviderLogin) == 0
    assert (await browser.send(answer)).status_code == 400


async def test_parallel_first_logins_of_a_user_create_one_account(
    browser: Browser, session_factory: SessionFactory
) -> None:
    answers = [browser.provider.authorize(await browser.start()) for _ in range(4)]
    responses = await asyncio.gather(*map(browser.send, answers))
    assert {response.status_code for response in responses} <= {200, 409}
    assert 200 in {response.status_code for response in responses}
    assert await count(session_factory, UserAccount) == 1
    assert await count(session_factory, UserIdentity) == 1


async def test_parallel_requests_cannot_unlink_the_only_way_to_log_in(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    browser.provider.subject = "second"
    await browser.link()
    links = [f"{IDENTITIES}/{each['id']}/unlink" for each in await browser.identities()]
    responses = await asyncio.gather(*(browser.client.post(link, json={}) for link in links))
    assert sorted(response.status_code for response in responses) == [204, 409]
    assert await count(session_factory, UserIdentity) == 1


async def test_parallel_requests_leave_an_identity_or_a_passkey(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    passkey = Authenticator()
    key = await add_passkey(browser, passkey)
    assert await log_in_by_passkey(browser, passkey) == 204
    [identity] = await browser.identities()
    async with session_factory.begin() as session:
        account = (await session.scalars(select(UserAccount))).one()
        # Until it ends, both have seen that there are two ways in, and neither can go on.
        await lock_account(session, account.id)
        unlinked = browser.client.post(f"{IDENTITIES}/{identity['id']}/unlink", json={})
        requests = [asyncio.create_task(each) for each in (unlinked, remove(browser, key))]
        await asyncio.sleep(0.5)
        assert not any(request.done() for request in requests)
    responses = await asyncio.gather(*requests)
    assert sorted(response.status_code for response in responses) == [204, 409]
    left = await count(session_factory, UserIdentity) + await count(session_factory, UserPasskey)
    assert left == 1


async def test_parallel_requests_leave_a_passkey(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    passkeys = [Authenticator(), Authenticator()]
    keys = [await add_passkey(browser, passkey) for passkey in passkeys]
    for passkey in passkeys:
        assert await log_in_by_passkey(browser, passkey) == 204
    assert (await unlink(browser)).status_code == 204
    async with session_factory.begin() as session:
        account = (await session.scalars(select(UserAccount))).one()
        await lock_account(session, account.id)
        requests = [asyncio.create_task(remove(browser, key)) for key in keys]
        await asyncio.sleep(0.5)
    responses = await asyncio.gather(*requests)
    assert sorted(response.status_code for response in responses) == [204, 409]
    assert await count(session_factory, UserPasskey) == 1


async def test_an_identity_that_is_unlinked_meanwhile_does_not_log_in(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    answer = browser.provider.authorize(await browser.start())
    async with session_factory.begin() as session:
        account = (await session.scalars(select(UserAccount))).one()
        await lock_account(session, account.id)
        await session.execute(delete(UserIdentity))
        request = asyncio.create_task(browser.send(answer))
        await asyncio.sleep(0.3)
    assert (await request).status_code in {403, 409}
    assert await count(session_factory, UserSession) == 1


async def test_no_connection_is_held_while_the_provider_is_asked(
    browser: Browser, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sign = browser.provider.sign

    def sign_and_look(claims: dict[str, object]) -> str:
        seen.append(engine.pool.status())
        return sign(claims)

    browser.provider.sign = sign_and_look
    assert (await browser.log_in()).status_code == 200
    assert "Current Checked out connections: 0" in seen[0]
