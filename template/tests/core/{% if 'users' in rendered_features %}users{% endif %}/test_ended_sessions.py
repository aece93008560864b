"""Requests whose session or account ends while they wait for a lock, each on its own connection."""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.auth.principal import Principal
from app.core.database import Session, SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.models import utc_now
from app.core.users.account_locks import lock_own_account
from app.core.users.accounts import lock_account
from app.core.users.caller_session import CallerSession
from app.core.users.login import complete_login
from app.core.users.models import (
    UserAccount,
    UserApiKey,
    UserSession,
    UserThrottle,
    UserToken,
    UserTOTP,
)
from app.core.users.sessions import Device, end_session
from app.manage_users import end
from tests.core.auth.callers import Authorize
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    CreateAccount,
)

# In seconds: requests are authenticated long before, and wait for a lock.
MEANWHILE = 0.7

End: TypeAlias = Callable[[Session, UUID], Awaitable[object]]


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in (UserToken, UserAccount, UserThrottle, QueuedJob):
            await session.execute(delete(model))


@pytest.fixture
async def ada(create_account: CreateAccount) -> UserAccount:
    return await create_account(roles=["viewer"])


@pytest.fixture
async def token(client: httpx2.AsyncClient, ada: UserAccount) -> str:
    response = await client.post(f"{AUTH}/token", json=CREDENTIALS)
    client.headers["Authorization"] = f"Bearer {response.json()['token']}"
    return str(response.json()["token"])


async def end_sessions(session: Session, user_id: UUID) -> None:
    """As a new password does."""
    await session.execute(delete(UserSession).where(UserSession.user_id == user_id))


async def deactivate(session: Session, user_id: UUID) -> None:
    await session.execute(update(UserAccount).values(deactivated_at=utc_now()))


async def delete_account(session: Session, user_id: UUID) -> None:
    await session.execute(delete(UserAccount).where(UserAccount.id == user_id))


async def count(sessions: SessionFactory, model: type) -> int:
    async with sessions() as session:
        return (await session.scalars(select(func.count()).select_from(model))).one()


async def send_meanwhile(
    sessions: SessionFactory, account: UserAccount, end: End, request: Awaitable[httpx2.Response]
) -> httpx2.Response:
    """Send a request, and end something while it waits for the lock of the account."""
    async with sessions.begin() as session:
        await lock_account(session, account.id)
        waiting = asyncio.ensure_future(request)
        await asyncio.sleep(MEANWHILE)
        assert not waiting.done()
        await end(session, account.id)
    return await waiting


CHANGES = {
    "api-keys": {"name": "Backup", "scopes": ["item:read"]},
    "change-password": {"current_password": PASSWORD, "password": NEW_PASSWORD},
    "change-email": {"email": "eve@example.com"},
    "deactivate": {},
    "delete-account": {},
    "logout-everywhere": {},
    "second-factors/totp": {},
}


@pytest.mark.parametrize("end", [end_sessions, deactivate, delete_account])
@pytest.mark.parametrize("operation", CHANGES)
async def test_a_session_that_ends_meanwhile_changes_nothing(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    token: str,
    session_factory: SessionFactory,
    capsys: pytest.CaptureFixture[str],
    operation: str,
    end: End,
) -> None:
    capsys.readouterr()
    request = client.post(f"{AUTH}/{operation}", json=CHANGES[operation])
    response = await send_meanwhile(session_factory, ada, end, request)
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    for model in (UserApiKey, UserTOTP, QueuedJob):
        assert await count(session_factory, model) == 0
    assert await count(session_factory, UserSession) == (end is deactivate)
    async with session_factory() as session:
        accounts = (await session.scalars(select(UserAccount))).all()
    assert [account.password_hash for account in accounts] == (
        [] if end is delete_account else [ada.password_hash]
    )
    assert [account.deactivated_at is not None for account in accounts] in ([], [end is deactivate])
    assert "audit=True" not in capsys.readouterr().out


async def test_a_session_that_logs_out_meanwhile_changes_nothing(
    client: httpx2.AsyncClient, token: str, session_factory: SessionFactory
) -> None:
    """Logging out does not lock the account."""
    async with session_factory.begin() as session:
        await end_session(session, token)
        request = client.post(f"{AUTH}/api-keys", json=CHANGES["api-keys"])
        waiting = asyncio.ensure_future(request)
        await asyncio.sleep(MEANWHILE)
    assert (await waiting).status_code == 401
    assert await count(session_factory, UserApiKey) == 0


async def test_a_logout_waits_for_a_change_of_its_session(
    client: httpx2.AsyncClient, ada: UserAccount, token: str, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        own_session = await session.scalar(select(UserSession.id))
        await session.rollback()
        assert own_session is not None
        claims = CallerSession(own_session, utc_now(), ()).to_claims()
        caller = Principal(str(ada.id), frozenset(), claims)
    async with session_factory.begin() as session:
        await lock_own_account(session, caller)
        waiting = asyncio.ensure_future(client.post(f"{AUTH}/logout"))
        await asyncio.sleep(MEANWHILE)
        assert not waiting.done()
    assert (await waiting).status_code == 204


async def end_by_the_caller(client: httpx2.AsyncClient, sessions: SessionFactory) -> None:
    assert (await client.post(f"{AUTH}/logout-everywhere", json={})).status_code == 204


async def end_by_an_operator(client: httpx2.AsyncClient, sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await end(session, Namespace(email=ADA, all=False, api_keys=False))


@pytest.mark.parametrize("end_all", [end_by_the_caller, end_by_an_operator])
async def test_the_end_of_all_sessions_waits_for_logins(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    token: str,
    session_factory: SessionFactory,
    end_all: Callable[[httpx2.AsyncClient, SessionFactory], Awaitable[None]],
) -> None:
    async with session_factory.begin() as session:
        account = await lock_account(session, ada.id)
        assert account is not None
        await complete_login(session, account, Device(), methods=["password"])
        waiting = asyncio.ensure_future(end_all(client, session_factory))
        await asyncio.sleep(MEANWHILE)
        assert not waiting.done()
    await waiting
    assert await count(session_factory, UserSession) == 0


async def test_an_account_that_is_deleted_meanwhile_cannot_be_administered(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    authorize: Authorize,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client.headers.update(await authorize("user:read", "user:write", "item:read", "order:read"))
    capsys.readouterr()
    request = client.delete(f"/api/v1/users/{ada.id}")
    response = await send_meanwhile(session_factory, ada, delete_account, request)
    assert response.status_code == 404
    assert "audit=True" not in capsys.readouterr().out
