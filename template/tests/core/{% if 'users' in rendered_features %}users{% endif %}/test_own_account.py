"""Callers see and change their own accounts; sensitive changes need more than a session."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.core.database import SessionFactory
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.users.authentication import COOKIE
from app.core.users.models import UserAccount, UserSession, UserToken
from app.core.users.project_name import PROJECT_NAME
from app.core.users.sessions import end_sessions
from tests.conftest import connect
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    CreateAccount,
    ReadMail,
    link_token,
    load,
)

Age: TypeAlias = Callable[[], Awaitable[None]]
BOB = "bob@example.com"
CHANGE = {"current_password": PASSWORD, "password": NEW_PASSWORD}


@pytest.fixture
def age_login(session_factory: SessionFactory) -> Age:
    """Make all logins an hour older."""

    async def age() -> None:
        async with session_factory.begin() as session:
            hour_ago = utc_now() - timedelta(hours=1)
            await session.execute(update(UserSession).values(authenticated_at=hour_ago))

    return age


async def create_token(client: httpx2.AsyncClient, **body: str) -> dict[str, str]:
    response = await client.post(f"{AUTH}/token", json=CREDENTIALS | body)
    return {"Authorization": f"Bearer {response.json()['token']}"}


async def test_me_has_no_secrets(logged_in: httpx2.AsyncClient, ada: UserAccount) -> None:
    me = (await logged_in.get(f"{AUTH}/me")).json()
    assert {
        "id": str(ada.id),
        "email": ADA,
        "has_password": True,
        "scopes": [],
    }.items() <= me.items()
    assert "password_hash" not in me


async def test_me_lists_the_scopes_of_all_roles(
    client: httpx2.AsyncClient, create_account: CreateAccount
) -> None:
    await create_account(roles=["administrator", "removed"])
    me = (await client.get(f"{AUTH}/me", headers=await create_token(client))).json()
    assert {"user:read", "user:write"} <= {*me["scopes"]}
    assert me["roles"] == ["administrator", "removed"]


async def test_sessions_are_listed_without_tokens(
    logged_in: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    await logged_in.post(f"{AUTH}/token", json=CREDENTIALS, headers={"User-Agent": "x" * 500})
    other, current = (await logged_in.get(f"{AUTH}/sessions")).json()
    assert (other["is_current"], current["is_current"]) == (False, True)
    assert other["user_agent"] == "x" * 200
    assert other["address"] == "127.0.0.1"
    assert not {"token", "token_hash", "user_id"} & {*other}


async def test_sessions_that_have_ended_are_not_listed(
    logged_in: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        await session.execute(
            update(UserSession).values(last_seen_at=utc_now() - timedelta(days=8))
        )
    await logged_in.post(f"{AUTH}/login", json=CREDENTIALS)
    assert len((await logged_in.get(f"{AUTH}/sessions")).json()) == 1


async def test_a_session_can_be_ended(logged_in: httpx2.AsyncClient) -> None:
    token = await create_token(logged_in)
    other, _ = (await logged_in.get(f"{AUTH}/sessions")).json()
    assert (await logged_in.delete(f"{AUTH}/sessions/{other['id']}")).status_code == 204
    async with connect(logged_in._transport.app) as client:  # type: ignore[attr-defined]
        assert (await client.get(f"{AUTH}/me", headers=token)).status_code == 401


async def test_sessions_of_others_do_not_exist(
    logged_in: httpx2.AsyncClient, create_account: CreateAccount, session_factory: SessionFactory
) -> None:
    bob = await create_account(BOB)
    await logged_in.post(f"{AUTH}/token", json=CREDENTIALS | {"email": BOB})
    async with session_factory() as session:
        of_bob = select(UserSession.id).where(UserSession.user_id == bob.id)
        key = (await session.scalars(of_bob)).one()
    foreign = await logged_in.delete(f"{AUTH}/sessions/{key}")
    missing = await logged_in.delete(f"{AUTH}/sessions/{uuid4()}")
    assert foreign.status_code == missing.status_code == 404
    async with session_factory() as session:
        assert await session.get(UserSession, key) is not None


async def test_ending_other_sessions_needs_a_recent_login(
    logged_in: httpx2.AsyncClient, age_login: Age
) -> None:
    await create_token(logged_in)
    other, current = (await logged_in.get(f"{AUTH}/sessions")).json()
    await age_login()
    response = await logged_in.delete(f"{AUTH}/sessions/{other['id']}")
    assert response.status_code == 403
    assert response.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", max_age="600"'
    )
    assert (await logged_in.delete(f"{AUTH}/sessions/{current['id']}")).status_code == 204


@pytest.mark.parametrize(("ids", "count"), [(None, 2), ([], 0), ([UUID(int=1)], 0)])
async def test_only_without_ids_all_sessions_end(
    logged_in: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    ids: list[UUID] | None,
    count: int,
) -> None:
    await create_token(logged_in)
    async with session_factory.begin() as session:
        assert await end_sessions(session, ada.id, ids=ids) == count
        assert len((await session.scalars(select(UserSession))).all()) == 2 - count


async def test_logout_everywhere_ends_all_sessions(logged_in: httpx2.AsyncClient) -> None:
    token = await create_token(logged_in)
    response = await logged_in.post(f"{AUTH}/logout-everywhere", json={})
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert (await logged_in.get(f"{AUTH}/me", headers=token)).status_code == 401


async def test_a_new_password_ends_all_sessions_and_starts_a_new_one(
    logged_in: httpx2.AsyncClient, read_mail: ReadMail
) -> None:
    other = await create_token(logged_in)
    old = logged_in.cookies[COOKIE]
    response = await logged_in.post(f"{AUTH}/change-password", json=CHANGE)
    assert (response.status_code, response.json()) == (200, {"token": None})
    assert logged_in.cookies[COOKIE] != old
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 200
    async with connect(logged_in._transport.app) as client:  # type: ignore[attr-defined]
        for headers in (other, {"Authorization": f"Bearer {old}"}):
            assert (await client.get(f"{AUTH}/me", headers=headers)).status_code == 401
        assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 401
    assert (await read_mail()).subject == f"Your password for {PROJECT_NAME} was changed"


async def test_callers_with_a_bearer_token_get_a_new_one(
    client: httpx2.AsyncClient, ada: UserAccount
) -> None:
    headers = await create_token(client)
    response = await client.post(f"{AUTH}/change-password", json=CHANGE, headers=headers)
    assert "Set-Cookie" not in response.headers
    new = {"Authorization": f"Bearer {response.json()['token']}"}
    assert (await client.get(f"{AUTH}/me", headers=new)).status_code == 200
    assert (await client.get(f"{AUTH}/me", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"password": NEW_PASSWORD}, 422),
        ({"password": NEW_PASSWORD, "current_password": "wrong"}, 403),
        ({"password": "too short", "current_password": PASSWORD}, 422),
        ({"password": NEW_PASSWORD, "current_password": PASSWORD, "email": BOB}, 422),
    ],
)
async def test_rejected_password_changes_change_nothing(
    logged_in: httpx2.AsyncClient, body: dict[str, str], status: int
) -> None:
    response = await logged_in.post(f"{AUTH}/change-password", json=body)
    assert response.status_code == status
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 200
    assert (await logged_in.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_accounts_without_a_password_set_one_after_a_recent_login(
    client: httpx2.AsyncClient,
    app: FastAPI,
    ada: UserAccount,
    session_factory: SessionFactory,
    age_login: Age,
) -> None:
    headers = await create_token(client)
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(password_hash=None))
    for body in ({"password": NEW_PASSWORD}, CHANGE):
        await age_login()
        response = await client.post(f"{AUTH}/change-password", json=body, headers=headers)
        assert response.status_code == 403
    async with session_factory.begin() as session:
        await session.execute(update(UserSession).values(authenticated_at=utc_now()))
    response = await client.post(
        f"{AUTH}/change-password", json={"password": NEW_PASSWORD}, headers=headers
    )
    assert response.status_code == 200
    assert (await load(app)).password_hash is not None


async def test_a_new_address_counts_once_its_owner_confirms_it(
    logged_in: httpx2.AsyncClient, app: FastAPI, jobs: JobRunner, mails: list[Mail]
) -> None:
    response = await logged_in.post(f"{AUTH}/change-email", json={"email": "Bob@example.com"})
    assert response.status_code == 202
    await jobs.run()
    link, notice = sorted(mails, key=lambda mail: mail.to, reverse=True)
    assert (link.to, notice.to) == (BOB, ADA)
    assert BOB in notice.text
    assert "token" not in notice.text
    await load(app, ADA)
    body = {"token": link_token(link)}
    assert (await logged_in.post(f"{AUTH}/confirm-email", json=body)).status_code == 204
    assert (await load(app, BOB)).email_verified_at is not None
    mails.clear()
    await jobs.run()
    assert [(mail.to, mail.subject) for mail in mails] == [
        (ADA, f"Your address at {PROJECT_NAME} was changed")
    ]
    # Sessions go on.
    assert (await logged_in.get(f"{AUTH}/me")).json()["email"] == BOB
    assert (await logged_in.post(f"{AUTH}/confirm-email", json=body)).status_code == 422


async def test_a_new_request_ends_the_link_to_another_new_address(
    logged_in: httpx2.AsyncClient, jobs: JobRunner, mails: list[Mail]
) -> None:
    tokens = []
    for email in ("other@example.com", BOB):
        mails.clear()
        await logged_in.post(f"{AUTH}/change-email", json={"email": email})
        await jobs.run()
        tokens += [link_token(mail) for mail in mails if mail.to == email]
    statuses = [
        (await logged_in.post(f"{AUTH}/confirm-email", json={"token": token})).status_code
        for token in tokens
    ]
    assert statuses == [422, 204]


async def test_a_confirmed_address_ends_older_links(
    logged_in: httpx2.AsyncClient, jobs: JobRunner, mails: list[Mail]
) -> None:
    await logged_in.post(f"{AUTH}/forgot-password", json={"email": ADA})
    await logged_in.post(f"{AUTH}/change-email", json={"email": "other@example.com"})
    await logged_in.post(f"{AUTH}/change-email", json={"email": BOB})
    await jobs.run()
    tokens = {mail.to: link_token(mail) for mail in mails if "#token=" in mail.text}
    body = {"token": tokens[BOB]}
    assert (await logged_in.post(f"{AUTH}/confirm-email", json=body)).status_code == 204
    body = {"token": tokens["other@example.com"]}
    assert (await logged_in.post(f"{AUTH}/confirm-email", json=body)).status_code == 422
    body = {"token": tokens[ADA], "password": NEW_PASSWORD}
    assert (await logged_in.post(f"{AUTH}/reset-password", json=body)).status_code == 422


async def test_a_new_password_also_ends_a_link_that_was_not_sent_yet(
    logged_in: httpx2.AsyncClient, jobs: JobRunner, mails: list[Mail]
) -> None:
    await logged_in.post(f"{AUTH}/change-email", json={"email": BOB})
    assert (await logged_in.post(f"{AUTH}/change-password", json=CHANGE)).status_code == 200
    await jobs.run()
    assert {mail.to for mail in mails} == {ADA}


async def test_an_address_with_an_account_gets_no_link(
    logged_in: httpx2.AsyncClient, create_account: CreateAccount, jobs: JobRunner, mails: list[Mail]
) -> None:
    await create_account(BOB)
    response = await logged_in.post(f"{AUTH}/change-email", json={"email": BOB})
    assert response.status_code == 202
    await jobs.run()
    assert {mail.to: mail.subject for mail in mails} == {
        BOB: f"This address already has an account at {PROJECT_NAME}",
        ADA: f"Your address at {PROJECT_NAME} is about to change",
    }


async def test_an_address_that_got_an_account_meanwhile_is_a_conflict(
    logged_in: httpx2.AsyncClient,
    app: FastAPI,
    create_account: CreateAccount,
    jobs: JobRunner,
    mails: list[Mail],
) -> None:
    await logged_in.post(f"{AUTH}/change-email", json={"email": BOB})
    await jobs.run()
    [link] = [mail for mail in mails if mail.to == BOB]
    await create_account(BOB)
    body = {"token": link_token(link)}
    assert (await logged_in.post(f"{AUTH}/confirm-email", json=body)).status_code == 409
    await load(app, ADA)


SENSITIVE: list[tuple[str, dict[str, Any], int]] = [
    ("change-email", {"email": BOB}, 202),
    ("deactivate", {}, 204),
    ("delete-account", {}, 204),
    ("logout-everywhere", {}, 204),
]


@pytest.mark.parametrize(("operation", "body", "status"), SENSITIVE)
async def test_sensitive_changes_need_a_recent_login_or_the_password(
    logged_in: httpx2.AsyncClient,
    age_login: Age,
    operation: str,
    body: dict[str, str],
    status: int,
) -> None:
    await age_login()
    response = await logged_in.post(f"{AUTH}/{operation}", json=body)
    assert response.status_code == 403
    assert "insufficient_user_authentication" in response.headers["WWW-Authenticate"]
    wrong = body | {"current_password": "wrong"}
    assert (await logged_in.post(f"{AUTH}/{operation}", json=wrong)).status_code == 403
    right = body | {"current_password": PASSWORD}
    assert (await logged_in.post(f"{AUTH}/{operation}", json=right)).status_code == status


async def test_the_password_is_less_than_a_second_factor_of_a_provider(
    logged_in: httpx2.AsyncClient, session_factory: SessionFactory, age_login: Age
) -> None:
    """The account has no factor of its own."""
    async with session_factory.begin() as session:
        methods = "provider provider_second_factor"
        await session.execute(update(UserSession).values(methods=methods))
    body = {"email": BOB, "current_password": PASSWORD}
    assert (await logged_in.post(f"{AUTH}/change-email", json=body)).status_code == 202
    await age_login()
    response = await logged_in.post(f"{AUTH}/change-email", json=body)
    assert response.status_code == 403
    assert "insufficient_user_authentication" in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("operation", "body", "status"), SENSITIVE)
async def test_a_wrong_password_is_rejected_despite_a_recent_login(
    logged_in: httpx2.AsyncClient, operation: str, body: dict[str, str], status: int
) -> None:
    wrong = body | {"current_password": "wrong"}
    assert (await logged_in.post(f"{AUTH}/{operation}", json=wrong)).status_code == 403
    assert (await logged_in.post(f"{AUTH}/{operation}", json=body)).status_code == status


@pytest.mark.parametrize("operation", ["deactivate", "delete-account"])
async def test_an_account_that_ends_takes_its_sessions_and_links_along(
    logged_in: httpx2.AsyncClient,
    app: FastAPI,
    session_factory: SessionFactory,
    jobs: JobRunner,
    mails: list[Mail],
    operation: str,
) -> None:
    await logged_in.post(f"{AUTH}/forgot-password", json={"email": ADA})
    await jobs.run()
    mails.clear()
    token = await create_token(logged_in)
    response = await logged_in.post(f"{AUTH}/{operation}", json={})
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    async with session_factory() as session:
        for model in (UserSession, UserToken):
            assert await session.scalar(select(func.count()).select_from(model)) == 0
        accounts = await session.scalar(select(func.count()).select_from(UserAccount))
    assert accounts == (0 if operation == "delete-account" else 1)
    async with connect(app) as client:
        assert (await client.get(f"{AUTH}/me", headers=token)).status_code == 401
        assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 401
    await jobs.run()
    assert [mail.to for mail in mails] == [ADA]
