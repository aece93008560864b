"""Sign-up: an account belongs to the receiver of the mails to its address."""

from collections.abc import Callable

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.core.database import SessionFactory
from app.core.mail import Mail, smtp
from app.core.models import utc_now
from app.core.settings import SettingsError
from app.core.users.models import UserAccount, UserToken
from app.core.users.project_name import PROJECT_NAME
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    PASSWORD,
    Configure,
    CreateAccount,
    FollowLink,
    ReadMail,
    load,
)


async def sign_up(client: httpx2.AsyncClient, email: str = ADA) -> httpx2.Response:
    return await client.post(f"{AUTH}/sign-up", json={"email": email})


async def verify(
    client: httpx2.AsyncClient, token: str, password: str = PASSWORD
) -> httpx2.Response:
    return await client.post(f"{AUTH}/verify-email", json={"token": token, "password": password})


async def test_a_link_creates_an_account_that_can_log_in(
    client: httpx2.AsyncClient, app: FastAPI, read_mail: ReadMail, follow_link: FollowLink
) -> None:
    assert (await sign_up(client, "Ada@Example.COM")).status_code == 202
    mail = await read_mail()
    assert (mail.to, mail.subject) == (ADA, f"Verify your address for {PROJECT_NAME}")
    assert "https://app.example.com/verify-email#token=" in mail.text
    await sign_up(client)
    assert (await verify(client, await follow_link())).status_code == 204
    account = await load(app)
    assert account.email_verified_at is not None
    assert account.roles == []
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_nothing_is_stored_before_the_address_is_verified(
    client: httpx2.AsyncClient, session_factory: SessionFactory, jobs: JobRunner, mails: list[Mail]
) -> None:
    await sign_up(client)
    await jobs.run()
    async with session_factory() as session:
        assert await session.scalar(select(func.count()).select_from(UserAccount)) == 0


async def test_known_and_unknown_addresses_get_the_same_response(
    client: httpx2.AsyncClient, ada: UserAccount, read_mail: ReadMail
) -> None:
    known = await sign_up(client, ADA)
    subject = (await read_mail()).subject
    unknown = await sign_up(client, "bob@example.com")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert {*known.headers} == {*unknown.headers}
    assert subject == f"You already have an account at {PROJECT_NAME}"


async def test_the_queue_has_no_tokens(
    client: httpx2.AsyncClient, jobs: JobRunner, mails: list[Mail]
) -> None:
    await sign_up(client)
    assert await jobs.waiting() == [("users.send_sign_up_link", {"email": ADA})]
    # No second job that contains the mail.
    assert await jobs.run() == ["users.send_sign_up_link"]


async def test_a_mail_that_fails_leaves_no_token(
    client: httpx2.AsyncClient,
    session_factory: SessionFactory,
    jobs: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(smtp, "deliver", fail)
    await sign_up(client)
    with pytest.raises(OSError):  # noqa: PT011
        await jobs.run()
    async with session_factory() as session:
        assert await session.scalar(select(func.count()).select_from(UserToken)) == 0


async def test_a_link_works_once(client: httpx2.AsyncClient, follow_link: FollowLink) -> None:
    await sign_up(client)
    token = await follow_link()
    assert (await verify(client, token)).status_code == 204
    response = await verify(client, token)
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "token"]


async def test_a_new_link_ends_the_old_one(
    client: httpx2.AsyncClient, follow_link: FollowLink
) -> None:
    await sign_up(client)
    old = await follow_link()
    await sign_up(client)
    new = await follow_link()
    assert (await verify(client, old)).status_code == 422
    assert (await verify(client, new)).status_code == 204


async def test_an_expired_link_is_rejected(
    client: httpx2.AsyncClient, session_factory: SessionFactory, follow_link: FollowLink
) -> None:
    await sign_up(client)
    token = await follow_link()
    async with session_factory.begin() as session:
        await session.execute(update(UserToken).values(expires_at=utc_now()))
    assert (await verify(client, token)).status_code == 422


@pytest.mark.parametrize("operation", ["accept-invitation", "reset-password", "confirm-email"])
async def test_other_operations_do_not_accept_the_link(
    client: httpx2.AsyncClient, follow_link: FollowLink, operation: str
) -> None:
    await sign_up(client)
    token = await follow_link()
    body = {"token": token} | ({} if operation == "confirm-email" else {"password": PASSWORD})
    assert (await client.post(f"{AUTH}/{operation}", json=body)).status_code == 422
    assert (await verify(client, token)).status_code == 204


async def test_a_weak_password_leaves_the_link_valid(
    client: httpx2.AsyncClient, follow_link: FollowLink
) -> None:
    await sign_up(client)
    token = await follow_link()
    assert (await verify(client, token, "too short")).status_code == 422
    assert (await verify(client, token)).status_code == 204


async def test_an_address_that_got_an_account_meanwhile_is_a_conflict(
    client: httpx2.AsyncClient, create_account: CreateAccount, follow_link: FollowLink
) -> None:
    await sign_up(client)
    token = await follow_link()
    await create_account(ADA, "another password of Ada")
    assert (await verify(client, token)).status_code == 409
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 401


async def test_invited_accounts_get_their_invitation_again(
    client: httpx2.AsyncClient,
    app: FastAPI,
    create_account: CreateAccount,
    follow_link: FollowLink,
) -> None:
    """Also if a stranger signs up with the address: the new mail goes to the invited person."""
    await create_account(ADA, None, email_verified_at=None, roles=["viewer"])
    await sign_up(client)
    old = await follow_link()
    await sign_up(client)
    new = await follow_link()
    statuses = []
    for token in (old, new):
        body = {"token": token, "password": PASSWORD}
        response = await client.post(f"{AUTH}/accept-invitation", json=body)
        statuses.append(response.status_code)
    assert statuses == [422, 204]
    assert (await load(app)).roles == ["viewer"]
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_sign_up_can_be_disabled(
    client: httpx2.AsyncClient, follow_link: FollowLink, configure: Configure
) -> None:
    await sign_up(client)
    token = await follow_link()
    configure(sign_up="false")
    assert (await sign_up(client)).status_code == 403
    assert (await verify(client, token)).status_code == 403


async def test_roles_of_new_accounts_are_a_setting(
    client: httpx2.AsyncClient, app: FastAPI, follow_link: FollowLink, configure: Configure
) -> None:
    configure(sign_up_roles="viewer")
    await sign_up(client)
    await verify(client, await follow_link())
    assert (await load(app)).roles == ["viewer"]


def test_unknown_roles_of_new_accounts_end_the_start(
    configured_app: Callable[..., FastAPI], configure: Configure
) -> None:
    configure(sign_up_roles="viewer,king")
    with pytest.raises(SettingsError, match="USERS_SIGN_UP_ROLES: unknown roles king"):
        configured_app()
