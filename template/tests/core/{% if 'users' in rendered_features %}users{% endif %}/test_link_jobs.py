"""Links in mails, and what happens to their accounts while the mails are sent."""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import SessionFactory, create_session_factory
from app.core.jobs import enqueue
from app.core.jobs.models import QueuedJob
from app.core.mail import Mail, smtp
from app.core.users.accounts import lock_account
from app.core.users.jobs import send_invitation, send_reset_link, send_sign_up_link
from app.core.users.models import UserAccount, UserThrottle, UserToken
from app.core.users.one_time_tokens import delete_tokens
from app.manage_users import end
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    Configure,
    CreateAccount,
    link_token,
)

NEW_ADDRESS = "new@example.com"
CHANGE = {"current_password": PASSWORD, "password": NEW_PASSWORD}


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        for model in (UserToken, UserAccount, UserThrottle, QueuedJob):
            await session.execute(delete(model))


@pytest.fixture
def during_delivery(
    mails: list[Mail], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Awaitable[object]]], None]:
    """`during_delivery(function)` calls a function while the first mail is delivered."""
    collect = smtp.deliver

    def install(function: Callable[[], Awaitable[object]]) -> None:
        async def deliver(mail: Mail, *arguments: Any) -> None:
            if not mails:
                mails.append(mail)
                await function()
            else:
                await collect(mail, *arguments)

        monkeypatch.setattr(smtp, "deliver", deliver)

    return install


async def tokens(sessions: SessionFactory) -> list[str]:
    async with sessions() as session:
        return [*await session.scalars(select(UserToken.email))]


async def ask_for_new_address(client: httpx2.AsyncClient) -> None:
    token = (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    client.headers["Authorization"] = f"Bearer {token}"
    response = await client.post(f"{AUTH}/change-email", json={"email": NEW_ADDRESS})
    assert response.status_code == 202


async def test_a_new_password_ends_a_link_whose_mail_is_being_delivered(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    jobs: JobRunner,
    mails: list[Mail],
    during_delivery: Callable[..., None],
) -> None:
    await ask_for_new_address(client)
    during_delivery(lambda: client.post(f"{AUTH}/change-password", json=CHANGE))
    await jobs.run()
    [mail] = [mail for mail in mails if mail.to == NEW_ADDRESS]
    response = await client.post(f"{AUTH}/confirm-email", json={"token": link_token(mail)})
    assert response.status_code == 422
    assert await tokens(session_factory) == []


@pytest.mark.parametrize("is_invited", [False, True])
@pytest.mark.parametrize("ends", [True, False])
async def test_the_end_of_all_links_includes_those_being_delivered(
    create_account: CreateAccount,
    session_factory: SessionFactory,
    jobs: JobRunner,
    mails: list[Mail],
    during_delivery: Callable[..., None],
    is_invited: bool,
    ends: bool,
) -> None:
    invited = {"password": None, "email_verified_at": None}
    account = await create_account(**invited if is_invited else {})

    async def end_links() -> None:
        if not ends:
            return
        async with session_factory.begin() as session:
            locked = await lock_account(session, account.id)
            assert locked is not None
            await delete_tokens(session, locked)

    during_delivery(end_links)
    async with session_factory.begin() as session:
        await enqueue(session, send_invitation if is_invited else send_reset_link, ADA)
    await jobs.run()
    assert len(mails) == 1
    assert await tokens(session_factory) == ([] if ends else [ADA])


async def test_a_link_is_not_stored_while_links_end(
    ada: UserAccount, session_factory: SessionFactory, jobs: JobRunner, mails: list[Mail]
) -> None:
    async with session_factory.begin() as session:
        await enqueue(session, send_reset_link, ADA)
    async with session_factory.begin() as session:
        locked = await lock_account(session, ada.id)
        assert locked is not None
        await delete_tokens(session, locked)
        running = asyncio.create_task(jobs.run())
        await asyncio.sleep(0.7)
        # SQLite has one lock, for which the job waits before it reads the account.
        was_delivered = bool(mails)
    await running
    assert await tokens(session_factory) == ([] if was_delivered else [ADA])


async def test_a_sign_up_link_needs_no_account(
    session_factory: SessionFactory, jobs: JobRunner, mails: list[Mail]
) -> None:
    async with session_factory.begin() as session:
        await enqueue(session, send_sign_up_link, ADA)
    await jobs.run()
    assert await tokens(session_factory) == [ADA]


async def test_changes_that_end_no_links_do_not_keep_mails_from_being_sent(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    configure: Configure,
    authorize: Authorize,
    jobs: JobRunner,
    mails: list[Mail],
) -> None:
    """New roles, and a hash with other parameters."""
    await ask_for_new_address(client)
    administrator = await authorize("user:read", "user:write", "item:read", "order:read")
    path = f"/api/v1/users/{ada.id}"
    roles = await client.patch(path, json={"roles": ["viewer"]}, headers=administrator)
    assert roles.status_code == 200
    configure(argon2_time_cost=2)
    assert (await client.post(f"{AUTH}/token", json=CREDENTIALS)).status_code == 200
    await jobs.run()
    [mail] = [mail for mail in mails if mail.to == NEW_ADDRESS]
    response = await client.post(f"{AUTH}/confirm-email", json={"token": link_token(mail)})
    assert response.status_code == 204


async def test_a_deactivation_ends_links_that_were_not_sent_even_if_it_is_undone(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    authorize: Authorize,
    jobs: JobRunner,
    mails: list[Mail],
) -> None:
    await ask_for_new_address(client)
    administrator = await authorize("user:read", "user:write")
    for operation in ("deactivate", "activate"):
        path = f"/api/v1/users/{ada.id}/{operation}"
        response = await client.post(path, headers=administrator)
        assert response.status_code == 200
    await jobs.run()
    assert {mail.to for mail in mails} == {ADA}


async def end_by_the_owner(
    client: httpx2.AsyncClient, _account: UserAccount, _authorize: Authorize, _: SessionFactory
) -> None:
    assert (await client.post(f"{AUTH}/logout-everywhere", json={})).status_code == 204


async def end_by_an_administrator(
    client: httpx2.AsyncClient, account: UserAccount, authorize: Authorize, _: SessionFactory
) -> None:
    headers = await authorize("user:read", "user:write")
    response = await client.delete(f"/api/v1/users/{account.id}/sessions", headers=headers)
    assert response.status_code == 204


async def end_by_an_operator(
    _client: httpx2.AsyncClient, _account: UserAccount, _: Authorize, sessions: SessionFactory
) -> None:
    async with sessions.begin() as session:
        await end(session, Namespace(email=ADA, all=False, api_keys=False))


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize("end_all", [end_by_the_owner, end_by_an_administrator, end_by_an_operator])
async def test_the_end_of_all_sessions_ends_a_link_to_a_new_address(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    authorize: Authorize,
    session_factory: SessionFactory,
    jobs: JobRunner,
    mails: list[Mail],
    end_all: Callable[..., Awaitable[None]],
    is_sent: bool,
) -> None:
    """An attacker with a session may have requested it."""
    await ask_for_new_address(client)
    if is_sent:
        await jobs.run()
    await end_all(client, ada, authorize, session_factory)
    await jobs.run()
    for mail in mails:
        if mail.to == NEW_ADDRESS:
            body = {"token": link_token(mail)}
            assert (await client.post(f"{AUTH}/confirm-email", json=body)).status_code == 422
    assert await tokens(session_factory) == []
    assert [mail.to for mail in mails].count(NEW_ADDRESS) == is_sent
