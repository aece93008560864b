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
    UserIdentity,
    UserProviderLogin,
    UserSession,
    UserThrottle,
)
from tests.core.users.providers.browser import IDENTITIES, Browser


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in (UserAccount, UserProviderLogin, UserThrottle, QueuedJob):
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


@pytest.mark.parametrize("operation", ["link", "unlink"])
async def test_a_session_that_ends_meanwhile_changes_no_identity(
    browser: Browser, session_factory: SessionFactory, operation: str
) -> None:
    await browser.log_in()
    browser.provider.subject = "second"
    await browser.link()
    [first, second] = await browser.identities()
    browser.provider.subject = "third"
    started = (await browser.start_link()).json()
    answer = browser.provider.authorize(started["authorization_url"])
    async with session_factory.begin() as session:
        account = (await session.scalars(select(UserAccount))).one()
        await lock_account(session, account.id)
        if operation == "link":
            request = asyncio.create_task(browser.send(answer))
        else:
            link = f"{IDENTITIES}/{second['id']}/unlink"
            request = asyncio.create_task(browser.client.post(link, json={}))
        await asyncio.sleep(0.7)
        await session.execute(delete(UserSession))
    assert (await request).status_code == (400 if operation == "link" else 401)
    async with session_factory() as session:
        found = {str(key) for key in await session.scalars(select(UserIdentity.id))}
    assert found == {first["id"], second["id"]}


async def test_no_connection_is_held_while_the_provider_is_asked(
    browser: Browser, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sign = browser.provider.sign_id_token

    def sign_and_look(claims: dict[str, object]) -> str:
        seen.append(engine.pool.status())
        return sign(claims)

    browser.provider.sign_id_token = sign_and_look
    assert (await browser.log_in()).status_code == 200
    assert "Current Checked out connections: 0" in seen[0]
