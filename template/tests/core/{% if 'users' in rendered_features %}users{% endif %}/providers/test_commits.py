"""Parallel requests, and what stays of those that fail, on connections of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm.exc import StaleDataError

from app.core.database import Session, SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.users.accounts import lock_account
from app.core.users.login import complete_login
from app.core.users.models import (
    UserAccount,
    UserApiKey,
    UserChallenge,
    UserIdentity,
    UserPasskey,
    UserProviderLogin,
    UserSession,
    UserThrottle,
)
from app.core.users.providers import login, proof
from app.core.users.providers.identities import MAX_IDENTITIES
from app.core.users.providers.secrets import LoginSecrets
from app.core.users.sessions import end_sessions
from tests.core.users.factors.authenticator import Authenticator
from tests.core.users.providers.browser import IDENTITIES, Browser
from tests.core.users.providers.test_identities import unlink
from tests.core.users.providers.test_ways_in import add_passkey, log_in_by_passkey, remove


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


@pytest.mark.parametrize("at_commit", [False, True])
async def test_a_conflict_after_the_state_is_used_up_is_no_expired_login(
    browser: Browser,
    session_factory: SessionFactory,
    monkeypatch: pytest.MonkeyPatch,
    at_commit: bool,
) -> None:
    """A retry of the whole request would be rejected: the started login is used up."""

    async def conflict(session: Session, account: UserAccount, *args: Any, **options: Any) -> str:
        token = await complete_login(session, account, *args, **options)
        # As another request would, so that the next change finds no row.
        behind_its_back = update(UserAccount).values(version=UserAccount.version + 1)
        await session.execute(behind_its_back, execution_options={"synchronize_session": False})
        account.code_failures = 7
        if not at_commit:
            await session.flush()
        return token

    monkeypatch.setattr(login, "complete_login", conflict)
    response = await browser.log_in()
    assert response.status_code == 503
    assert "start the login again" in response.json()["detail"]
    assert await count(session_factory, UserSession) == 0
    monkeypatch.undo()
    assert (await browser.log_in()).status_code == 200


async def test_a_conflict_before_the_state_is_used_up_is_retried(
    browser: Browser, session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = browser.provider.authorize(await browser.start())
    conflicts = [StaleDataError("once")]

    def fail_once(cookie: str, state: str) -> LoginSecrets:
        if conflicts:
            raise conflicts.pop()
        return LoginSecrets(cookie, state)

    monkeypatch.setattr(proof, "LoginSecrets", fail_once)
    assert (await browser.send(answer)).status_code == 200
    assert not conflicts


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
    ids = [each["id"] for each in await browser.identities()]
    responses = await asyncio.gather(*(unlink(browser, each) for each in ids))
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
        removals = (unlink(browser, identity["id"]), remove(browser, key))
        requests = [asyncio.create_task(removal) for removal in removals]
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
    [identity] = await browser.identities()
    assert (await unlink(browser, identity["id"])).status_code == 204
    async with session_factory.begin() as session:
        account = (await session.scalars(select(UserAccount))).one()
        await lock_account(session, account.id)
        requests = [asyncio.create_task(remove(browser, key)) for key in keys]
        await asyncio.sleep(0.5)
    responses = await asyncio.gather(*requests)
    assert sorted(response.status_code for response in responses) == [204, 409]
    assert await count(session_factory, UserPasskey) == 1


async def send_while_sessions_end(
    sessions: SessionFactory, request: Coroutine[Any, Any, httpx2.Response]
) -> httpx2.Response:
    """Send a request that is authenticated, and then waits while its session is ended."""
    async with sessions.begin() as session:
        account = (await session.scalars(select(UserAccount))).one()
        await lock_account(session, account.id)
        task = asyncio.create_task(request)
        await asyncio.sleep(0.5)
        assert not task.done()
        await end_sessions(session, account.id)
    return await task


async def test_a_session_that_ends_meanwhile_links_nothing(
    browser: Browser, session_factory: SessionFactory
) -> None:
    """A password reset must not leave an identity that was linked by a stolen session."""
    await browser.log_in()
    browser.provider.subject = "attacker"
    started = await browser.start_link()
    answer = browser.provider.authorize(started.json()["authorization_url"])
    response = await send_while_sessions_end(session_factory, browser.send(answer))
    assert response.status_code == 400
    assert await count(session_factory, UserIdentity) == 1


async def test_a_session_that_ends_meanwhile_unlinks_nothing(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    browser.provider.subject = "second"
    await browser.link()
    response = await send_while_sessions_end(
        session_factory, unlink(browser, (await browser.identities())[0]["id"])
    )
    assert response.status_code == 401
    assert await count(session_factory, UserIdentity) == 2


async def test_a_session_that_ends_meanwhile_creates_no_api_key(
    app: FastAPI, browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    app.state.role_scopes.roles["tester"] = {"test:read"}
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(roles=["tester"]))
    body = {"name": "Backup", "scopes": ["test:read"]}
    request = browser.client.post("/api/v1/auth/api-keys", json=body)
    response = await send_while_sessions_end(session_factory, request)
    assert response.status_code == 401
    assert await count(session_factory, UserApiKey) == 0


async def test_parallel_links_keep_the_limit_of_identities(
    browser: Browser, session_factory: SessionFactory
) -> None:
    await browser.log_in()
    user_id = UUID((await browser.me())["id"])
    async with session_factory.begin() as session:
        session.add_all(
            UserIdentity(user_id=user_id, issuer="https://gone.test", subject=str(number))
            for number in range(MAX_IDENTITIES - 2)
        )
    urls = [(await browser.start_link()).json()["authorization_url"] for _ in range(2)]
    # Each login is that of another user of the provider, whose subject is the nonce.
    browser.provider.sign_id_token = lambda claims: browser.provider.sign(
        claims | {"sub": claims["nonce"]}
    )
    answers = [browser.provider.authorize(url) for url in urls]
    async with session_factory.begin() as session:
        await lock_account(session, user_id)
        requests = [asyncio.create_task(browser.send(answer)) for answer in answers]
        await asyncio.sleep(0.5)
    responses = await asyncio.gather(*requests)
    assert sorted(response.status_code for response in responses) == [200, 409]
    assert await count(session_factory, UserIdentity) == MAX_IDENTITIES


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
