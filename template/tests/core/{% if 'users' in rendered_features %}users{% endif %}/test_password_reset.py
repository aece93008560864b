"""A forgotten password is replaced by a link in a mail."""

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from app.core.database import SessionFactory
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.users.models import UserAccount, UserToken
from app.core.users.project_name import PROJECT_NAME
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    CreateAccount,
    FollowLink,
    ReadMail,
    load,
)


async def request_link(client: httpx2.AsyncClient, email: str = ADA) -> httpx2.Response:
    return await client.post(f"{AUTH}/forgot-password", json={"email": email})


async def reset(
    client: httpx2.AsyncClient, token: str, password: str = NEW_PASSWORD
) -> httpx2.Response:
    return await client.post(f"{AUTH}/reset-password", json={"token": token, "password": password})


async def log_in(client: httpx2.AsyncClient, password: str) -> int:
    body = {"email": ADA, "password": password}
    return (await client.post(f"{AUTH}/login", json=body)).status_code


async def test_a_link_sets_a_new_password(
    client: httpx2.AsyncClient, ada: UserAccount, read_mail: ReadMail, follow_link: FollowLink
) -> None:
    await request_link(client)
    assert (await reset(client, await follow_link())).status_code == 204
    notice = await read_mail()
    assert notice.subject == f"Your password for {PROJECT_NAME} was changed"
    for text in (notice.text, notice.html):
        assert "remove those that you do not know" in text
    assert await log_in(client, PASSWORD) == 401
    assert await log_in(client, NEW_PASSWORD) == 200


async def test_a_reset_ends_all_sessions_and_starts_none(
    logged_in: httpx2.AsyncClient, follow_link: FollowLink
) -> None:
    await request_link(logged_in)
    response = await reset(logged_in, await follow_link())
    assert "Set-Cookie" not in response.headers
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 401


async def test_known_and_unknown_addresses_get_the_same_response(
    client: httpx2.AsyncClient, create_account: CreateAccount, jobs: JobRunner, mails: list[Mail]
) -> None:
    await create_account(ADA)
    await create_account("inactive@example.com", deactivated_at=utc_now())
    responses = [
        await request_link(client, email)
        for email in (ADA, "unknown@example.com", "inactive@example.com")
    ]
    assert {(r.status_code, r.content) for r in responses} == {(202, b"")}
    # The same work for all of them: the time reveals nothing.
    assert [name for name, _ in await jobs.waiting()] == ["users.send_reset_link"] * 3
    await jobs.run()
    assert [mail.to for mail in mails] == [ADA]


async def test_a_link_works_once(
    client: httpx2.AsyncClient, ada: UserAccount, follow_link: FollowLink
) -> None:
    await request_link(client)
    token = await follow_link()
    assert (await reset(client, token)).status_code == 204
    assert (await reset(client, token, PASSWORD)).status_code == 422
    assert await log_in(client, NEW_PASSWORD) == 200


async def test_an_expired_link_is_rejected(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    follow_link: FollowLink,
) -> None:
    await request_link(client)
    token = await follow_link()
    async with session_factory.begin() as session:
        await session.execute(update(UserToken).values(expires_at=utc_now()))
    assert (await reset(client, token)).status_code == 422


async def test_a_new_link_ends_the_old_one(
    client: httpx2.AsyncClient, ada: UserAccount, follow_link: FollowLink
) -> None:
    await request_link(client)
    old = await follow_link()
    await request_link(client)
    new = await follow_link()
    assert (await reset(client, old)).status_code == 422
    assert (await reset(client, new)).status_code == 204


async def test_a_weak_password_leaves_the_link_valid(
    client: httpx2.AsyncClient, ada: UserAccount, follow_link: FollowLink
) -> None:
    await request_link(client)
    token = await follow_link()
    response = await reset(client, token, "too short")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "password"]
    assert (await reset(client, token)).status_code == 204


@pytest.mark.parametrize(
    "change",
    [{"deactivated_at": utc_now()}, {"email": "other@example.com"}],
    ids=["deactivated", "new address"],
)
async def test_a_link_of_an_account_that_has_changed_is_rejected(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    follow_link: FollowLink,
    change: dict[str, object],
) -> None:
    await request_link(client)
    token = await follow_link()
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(change))
    assert (await reset(client, token)).status_code == 422


async def test_a_reset_verifies_the_address_of_an_invited_account(
    client: httpx2.AsyncClient,
    app: FastAPI,
    create_account: CreateAccount,
    follow_link: FollowLink,
) -> None:
    await create_account(ADA, None, email_verified_at=None)
    await request_link(client)
    assert (await reset(client, await follow_link(), PASSWORD)).status_code == 204
    assert (await load(app)).email_verified_at is not None
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_links_start_with_the_setting_and_not_with_the_host_of_the_request(
    client: httpx2.AsyncClient, ada: UserAccount, read_mail: ReadMail
) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    await client.post(f"{AUTH}/forgot-password", json={"email": ADA}, headers=headers)
    mail = await read_mail()
    assert "https://app.example.com/reset-password#token=" in mail.text
    assert "evil" not in mail.text + mail.html


async def test_a_reset_replaces_an_expired_invitation(
    client: httpx2.AsyncClient,
    app: FastAPI,
    session_factory: SessionFactory,
    authorize: Authorize,
    follow_link: FollowLink,
) -> None:
    headers = await authorize("user:write")
    await client.post("/api/v1/users", json={"email": ADA}, headers=headers)
    body = {"token": await follow_link(), "password": PASSWORD}
    async with session_factory.begin() as session:
        await session.execute(update(UserToken).values(expires_at=utc_now()))
    assert (await client.post(f"{AUTH}/accept-invitation", json=body)).status_code == 422
    await request_link(client)
    assert (await reset(client, await follow_link())).status_code == 204
    assert await log_in(client, NEW_PASSWORD) == 200
    assert (await load(app)).email_verified_at is not None
