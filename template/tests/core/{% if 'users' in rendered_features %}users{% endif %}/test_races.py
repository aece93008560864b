"""Concurrent requests, each on a connection of its own, and what they commit."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import ExceptionContext, delete, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.models import utc_now
from app.core.users.accounts import lock_account
from app.core.users.models import UserAccount, UserSession, UserThrottle, UserToken
from app.core.users.one_time_tokens import Purpose, new_one_time_token
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.sessions import Device, start_session
from app.core.users.throttling.limits import key_hash
from app.core.users.throttling.throttle import Throttle
from app.core.users.tokens import hash_token
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    Configure,
    CreateAccount,
    FollowLink,
)


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in (UserToken, UserSession, UserAccount, UserThrottle, QueuedJob):
            await session.execute(delete(model))


@pytest.fixture(autouse=True)
def _long_waits(configure: Configure) -> None:
    """Longer than any test."""
    configure(login_wait=60)


async def log_in(
    client: httpx2.AsyncClient,
    password: str = "wrong",  # noqa: S107
) -> httpx2.Response:
    return await client.post(f"{AUTH}/login", json={"email": ADA, "password": password})


async def count(sessions: SessionFactory, model: type[UserAccount | UserSession]) -> int | None:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def test_failed_logins_survive_the_rollback_of_their_requests(
    client: httpx2.AsyncClient, session_factory: SessionFactory, ada: UserAccount
) -> None:
    assert (await log_in(client)).status_code == 401
    async with session_factory() as session:
        attempts = [*await session.scalars(select(UserThrottle.attempts))]
    assert attempts == [1, 1]


async def test_wrong_current_passwords_count_as_failed_logins(
    logged_in: httpx2.AsyncClient,
) -> None:
    body = {"current_password": "wrong", "password": NEW_PASSWORD}
    statuses = [
        (await logged_in.post(f"{AUTH}/change-password", json=body)).status_code for _ in range(6)
    ]
    assert statuses == [403] * 5 + [429]
    assert (await log_in(logged_in, PASSWORD)).status_code == 429


async def test_right_current_passwords_are_not_counted(
    logged_in: httpx2.AsyncClient, configure: Configure
) -> None:
    configure(mails=100)
    body = {"email": "new@example.com", "current_password": PASSWORD}
    statuses = [
        (await logged_in.post(f"{AUTH}/change-email", json=body)).status_code for _ in range(7)
    ]
    assert statuses == [202] * 7
    assert (await log_in(logged_in, PASSWORD)).status_code == 200


async def test_right_current_passwords_do_not_forgive_wrong_ones_of_the_address(
    logged_in: httpx2.AsyncClient, configure: Configure
) -> None:
    configure(login_attempts_by_address=3, mails=100)
    statuses = []
    for number in range(4):
        wrong = {"email": f"{number}@example.com", "password": "wrong"}
        statuses.append((await logged_in.post(f"{AUTH}/login", json=wrong)).status_code)
        right = {"email": "new@example.com", "current_password": PASSWORD}
        response = await logged_in.post(f"{AUTH}/change-email", json=right)
        statuses.append(response.status_code)
    assert statuses == [401, 202, 401, 202, 401, 429, 429, 429]


async def test_right_passwords_of_logins_that_fail_later_are_not_counted(
    lenient_client: httpx2.AsyncClient,
    session_factory: SessionFactory,
    ada: UserAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("app.core.users.passwords.login.complete_login", None)
        statuses = [(await log_in(lenient_client, PASSWORD)).status_code for _ in range(7)]
    assert statuses == [500] * 7
    assert (await log_in(lenient_client, PASSWORD)).status_code == 200


async def test_right_passwords_of_deactivated_accounts_are_throttled_as_wrong_ones(
    client: httpx2.AsyncClient, create_account: CreateAccount
) -> None:
    """Otherwise, attackers would learn that they are right."""
    await create_account(deactivated_at=utc_now())
    statuses = [(await log_in(client, PASSWORD)).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


async def test_parallel_logins_from_one_address_do_not_deadlock(
    client: httpx2.AsyncClient,
    engine: AsyncEngine,
    create_account: CreateAccount,
    configure: Configure,
) -> None:
    """Each counts, and forgives, attempts of an account and of the address they share."""
    configure(login_attempts=100, login_attempts_by_address=100, hash_queue=100)
    of_address = key_hash("login from 127.0.0.1")
    addresses = [f"{number}@example.com" for number in range(20)]
    later = [key_hash(f"login as {email}") > of_address for email in addresses]
    # One account whose row is locked before that of the address, and one after it.
    emails = [addresses[later.index(False)], addresses[later.index(True)]]
    bodies = [{"email": email, "password": PASSWORD} for email in emails]
    for email, body in zip(emails, bodies, strict=True):
        await create_account(email)
        assert (await client.post(f"{AUTH}/token", json=body)).status_code == 200
    errors: list[BaseException] = []

    def see(context: ExceptionContext) -> None:
        errors.append(context.original_exception)

    event.listen(engine.sync_engine, "handle_error", see)
    try:
        requests = [client.post(f"{AUTH}/token", json=body) for body in bodies * 12]
        statuses = {response.status_code for response in await asyncio.gather(*requests)}
    finally:
        event.remove(engine.sync_engine, "handle_error", see)
    assert statuses == {200}
    assert errors == []


async def test_parallel_guesses_cannot_outrun_the_counter(
    client: httpx2.AsyncClient, session_factory: SessionFactory, ada: UserAccount
) -> None:
    responses = await asyncio.gather(*(log_in(client) for _ in range(30)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [401] * 5 + [429] * 25
    async with session_factory() as session:
        assert await session.scalar(select(func.max(UserThrottle.attempts))) == pytest.approx(
            5, 0.1
        )


async def test_parallel_attempts_of_many_accounts_are_all_counted(
    session_factory: SessionFactory,
) -> None:
    async def attempt(number: int) -> None:
        await Throttle(session_factory, "192.0.2.1").count_login(f"{number}@example.com")

    await asyncio.gather(*(attempt(number) for number in range(20)))
    async with session_factory() as session:
        counts = [*await session.scalars(select(UserThrottle.attempts))]
    assert len(counts) == 21
    assert max(counts) == pytest.approx(20, 0.1)


async def test_of_parallel_uses_of_a_sign_up_link_one_wins(
    client: httpx2.AsyncClient, session_factory: SessionFactory, follow_link: FollowLink
) -> None:
    await client.post(f"{AUTH}/sign-up", json={"email": ADA})
    body = {"token": await follow_link(), "password": PASSWORD}
    requests = [client.post(f"{AUTH}/verify-email", json=body) for _ in range(8)]
    statuses = sorted(response.status_code for response in await asyncio.gather(*requests))
    assert statuses == [204] + [422] * 7
    assert await count(session_factory, UserAccount) == 1


async def test_of_parallel_uses_of_two_sign_up_links_one_wins(
    client: httpx2.AsyncClient, session_factory: SessionFactory, create_account: CreateAccount
) -> None:
    """One that a job sent while another job ran, before it could end the first one."""

    tokens = [new_one_time_token(Purpose.SIGN_UP) for _ in range(4)]
    async with session_factory.begin() as session:
        for token in tokens:
            later = utc_now() + timedelta(hours=1)
            row = UserToken(
                token_hash=hash_token(token), purpose="sign_up", email=ADA, expires_at=later
            )
            session.add(row)
    requests = [
        client.post(f"{AUTH}/verify-email", json={"token": token, "password": PASSWORD})
        for token in tokens
    ]
    statuses = sorted(response.status_code for response in await asyncio.gather(*requests))
    assert statuses == [204, 409, 409, 409]
    assert await count(session_factory, UserAccount) == 1


async def test_of_parallel_uses_of_a_reset_link_one_wins(
    client: httpx2.AsyncClient, ada: UserAccount, follow_link: FollowLink
) -> None:
    await client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    token = await follow_link()
    passwords = [f"{NEW_PASSWORD} {number}" for number in range(8)]
    requests = [
        client.post(f"{AUTH}/reset-password", json={"token": token, "password": password})
        for password in passwords
    ]
    responses = await asyncio.gather(*requests)
    [winner] = [n for n, response in enumerate(responses) if response.status_code == 204]
    assert {r.status_code for n, r in enumerate(responses) if n != winner} == {422}
    assert (await log_in(client, passwords[winner])).status_code == 200


async def test_no_login_with_the_old_password_survives_a_reset(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    follow_link: FollowLink,
) -> None:
    await client.post(f"{AUTH}/forgot-password", json={"email": ADA})
    body = {"token": await follow_link(), "password": NEW_PASSWORD}
    reset = client.post(f"{AUTH}/reset-password", json=body)
    logins = [client.post(f"{AUTH}/token", json=CREDENTIALS) for _ in range(4)]
    responses = await asyncio.gather(*logins[:2], reset, *logins[2:])
    assert responses[2].status_code == 204
    assert await count(session_factory, UserSession) == 0


async def test_a_session_that_ended_meanwhile_sets_no_password(
    logged_in: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    """The new password would start a session, after the owner has ended all of them."""
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    async with session_factory.begin() as session:
        await lock_account(session, ada.id)
        request = asyncio.create_task(logged_in.post(f"{AUTH}/change-password", json=body))
        await asyncio.sleep(0.5)
        await session.execute(delete(UserSession))
    assert (await request).status_code == 401
    assert await count(session_factory, UserSession) == 0
    assert (await log_in(logged_in, PASSWORD)).status_code == 200


async def test_a_login_that_all_sessions_end_after_ends_too(
    logged_in: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    """It had the lock of the account first."""
    async with session_factory.begin() as session:
        await lock_account(session, ada.id)
        request = asyncio.create_task(logged_in.post(f"{AUTH}/logout-everywhere", json={}))
        await asyncio.sleep(0.5)
        await start_session(session, ada.id, Device())
    assert (await request).status_code == 204
    assert await count(session_factory, UserSession) == 0


async def test_a_flood_of_logins_does_not_exhaust_the_connections(
    client: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    """No request waits for a second connection while it holds one."""
    responses = await asyncio.gather(*(log_in(client, PASSWORD) for _ in range(40)))
    assert {response.status_code for response in responses} <= {200, 429}
    assert get_password_hasher()._pending == 0
    assert (await log_in(client, PASSWORD)).status_code in {200, 429}
