"""Administrators manage the accounts of others, within their own scopes."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.core.database import SessionFactory
from app.core.mail import Mail
from app.core.models import utc_now
from app.core.users import permissions
from app.core.users.models import UserAccount, UserSession
from app.core.users.settings import get_users_settings
from tests.core.auth.callers import Authorize
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    PASSWORD,
    CreateAccount,
    FollowLink,
    load,
)

USERS = "/api/v1/users"
# The scopes of these roles are in app/roles.py; an administrator here has those of viewers.
VIEWER, ADMINISTRATOR = "test viewer", "test administrator"

LogIn: TypeAlias = Callable[..., Awaitable[dict[str, str]]]


@pytest.fixture(autouse=True)
def _roles(app: FastAPI) -> None:
    app.state.role_scopes.roles |= {
        VIEWER: ["test:read"],
        ADMINISTRATOR: [permissions.READ, permissions.WRITE, "test:read"],
        "test owner": [permissions.READ, permissions.WRITE, "test:read", "test:own"],
    }


@pytest.fixture
async def administrator(client: httpx2.AsyncClient, authorize: Authorize) -> httpx2.AsyncClient:
    client.headers.update(await authorize(permissions.READ, permissions.WRITE, "test:read"))
    return client


async def test_users_are_listed_in_pages(
    administrator: httpx2.AsyncClient, create_account: CreateAccount
) -> None:
    await create_account(ADA, roles=[VIEWER])
    await create_account("bob@example.com")
    first = (await administrator.get(USERS, params={"sort": "email", "limit": 2})).json()
    assert len(first["items"]) == 2
    found = (await administrator.get(USERS, params={"email": "Ada@example.com"})).json()
    [ada] = found["items"]
    assert (ada["email"], ada["roles"]) == (ADA, [VIEWER])
    assert not {"password_hash", "password"} & {*ada}


async def test_a_user_has_an_etag(administrator: httpx2.AsyncClient, ada: UserAccount) -> None:
    response = await administrator.get(f"{USERS}/{ada.id}")
    assert response.json()["email"] == ADA
    headers = {"If-None-Match": response.headers["ETag"]}
    assert (await administrator.get(f"{USERS}/{ada.id}", headers=headers)).status_code == 304


async def test_an_invited_user_sets_a_password(
    administrator: httpx2.AsyncClient,
    browser: httpx2.AsyncClient,
    app: FastAPI,
    follow_link: FollowLink,
) -> None:
    response = await administrator.post(USERS, json={"email": "ADA@example.com", "roles": [VIEWER]})
    assert response.status_code == 201
    assert response.json()["email_verified_at"] is None
    token = await follow_link()
    body = {"token": token, "password": PASSWORD}
    assert (await browser.post(f"{AUTH}/accept-invitation", json=body)).status_code == 204
    account = await load(app)
    assert account.email_verified_at is not None
    assert account.roles == [VIEWER]
    assert (await browser.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200
    body = {"token": token, "password": "another long password"}
    assert (await browser.post(f"{AUTH}/accept-invitation", json=body)).status_code == 422


async def test_an_invitation_of_a_known_address_is_a_conflict(
    administrator: httpx2.AsyncClient, ada: UserAccount, jobs: JobRunner, mails: list[Mail]
) -> None:
    response = await administrator.post(USERS, json={"email": ADA})
    assert response.status_code == 409
    await jobs.run()
    assert mails == []


async def test_a_deactivated_invitation_cannot_be_accepted(
    administrator: httpx2.AsyncClient, browser: httpx2.AsyncClient, follow_link: FollowLink
) -> None:
    user = (await administrator.post(USERS, json={"email": ADA})).json()
    body = {"token": await follow_link(), "password": PASSWORD}
    await administrator.post(f"{USERS}/{user['id']}/deactivate")
    assert (await browser.post(f"{AUTH}/accept-invitation", json=body)).status_code == 422


async def test_roles_are_set_and_apply_at_once(
    administrator: httpx2.AsyncClient, browser: httpx2.AsyncClient, ada: UserAccount, app: FastAPI
) -> None:
    token = (await browser.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    headers = {"If-Match": '"1"'}
    response = await administrator.patch(
        f"{USERS}/{ada.id}", json={"roles": [VIEWER, VIEWER]}, headers=headers
    )
    assert (response.status_code, response.json()["roles"]) == (200, [VIEWER])
    me = await administrator.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["scopes"] == ["test:read"]
    response = await administrator.patch(f"{USERS}/{ada.id}", json={"roles": []}, headers=headers)
    assert response.status_code == 412


@pytest.mark.parametrize("roles", [["unknown"], ["x" * 101], [1], "viewer", None])
async def test_unknown_roles_are_rejected(
    administrator: httpx2.AsyncClient, ada: UserAccount, app: FastAPI, roles: object
) -> None:
    for response in (
        await administrator.patch(f"{USERS}/{ada.id}", json={"roles": roles}),
        await administrator.post(USERS, json={"email": "bob@example.com", "roles": roles}),
    ):
        assert response.status_code == 422
        assert response.json()["errors"][0]["location"][:2] == ["body", "roles"]
    assert (await load(app)).roles == []


async def test_nobody_grants_scopes_that_they_lack(
    administrator: httpx2.AsyncClient, ada: UserAccount, app: FastAPI
) -> None:
    roles = {"roles": ["test owner"]}
    for response in (
        await administrator.patch(f"{USERS}/{ada.id}", json=roles),
        await administrator.post(USERS, json={"email": "bob@example.com", **roles}),
    ):
        assert response.status_code == 403
        assert "test:own" in response.json()["detail"]
        assert 'scope="test:own"' in response.headers["WWW-Authenticate"]
    assert (await load(app)).roles == []


CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"roles": []}),
    ("DELETE", "", None),
    ("POST", "/deactivate", None),
    ("POST", "/activate", None),
    ("DELETE", "/sessions", None),
    ("DELETE", "/second-factors", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_nobody_changes_accounts_with_scopes_that_they_lack(
    administrator: httpx2.AsyncClient,
    app: FastAPI,
    create_account: CreateAccount,
    method: str,
    path: str,
    body: object,
) -> None:
    owner = await create_account(ADA, roles=["test owner"])
    response = await administrator.request(method, f"{USERS}/{owner.id}{path}", json=body)
    assert response.status_code == 403
    assert 'scope="test:own"' in response.headers["WWW-Authenticate"]
    account = await load(app)
    assert (account.roles, account.deactivated_at) == (["test owner"], None)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_administrators_do_not_lock_themselves_out(
    client: httpx2.AsyncClient, authorize: Authorize, method: str, path: str, body: object
) -> None:
    user_id = uuid4()
    client.headers.update(await authorize(permissions.READ, permissions.WRITE, id=str(user_id)))
    response = await client.request(method, f"{USERS}/{user_id}{path}", json=body)
    assert response.status_code == 403
    assert (await client.get(f"{USERS}/{user_id}")).json()["deactivated_at"] is None


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_missing_accounts_are_404(
    administrator: httpx2.AsyncClient, method: str, path: str, body: object
) -> None:
    response = await administrator.request(method, f"{USERS}/{uuid4()}{path}", json=body)
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [*CHANGES, ("GET", "", None)],
)
async def test_operations_need_their_scope(
    client: httpx2.AsyncClient,
    authorize: Authorize,
    ada: UserAccount,
    method: str,
    path: str,
    body: object,
) -> None:
    url = f"{USERS}/{ada.id}{path}"
    assert (await client.request(method, url, json=body)).status_code == 401
    other = permissions.WRITE if method == "GET" else permissions.READ
    headers = await authorize(other, "test:read")
    response = await client.request(method, url, json=body, headers=headers)
    assert response.status_code == 403
    needed = permissions.READ if method == "GET" else permissions.WRITE
    assert f'scope="{needed}"' in response.headers["WWW-Authenticate"]


async def test_lists_and_invitations_need_their_scope(
    client: httpx2.AsyncClient, authorize: Authorize
) -> None:
    assert (await client.get(USERS)).status_code == 401
    reader, writer = await authorize(permissions.READ), await authorize(permissions.WRITE)
    assert (await client.get(USERS, headers=writer)).status_code == 403
    response = await client.post(USERS, json={"email": ADA}, headers=reader)
    assert response.status_code == 403


RECENT_LOGIN: list[tuple[str, str, Any]] = [
    ("POST", "", {"email": "bob@example.com", "roles": [VIEWER]}),
    ("PATCH", "/{id}", {"roles": [VIEWER]}),
    ("PATCH", "/{id}", {"roles": []}),
    ("DELETE", "/{id}", None),
    ("POST", "/{id}/activate", None),
    ("DELETE", "/{id}/second-factors", None),
]


async def leave_sessions_open(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        seconds = get_users_settings().recent_login + 1
        earlier = utc_now() - timedelta(seconds=seconds)
        await session.execute(update(UserSession).values(authenticated_at=earlier))


@pytest.mark.parametrize(("method", "path", "body"), RECENT_LOGIN)
async def test_what_gives_access_or_cannot_be_undone_needs_a_recent_login(
    administrator: httpx2.AsyncClient,
    app: FastAPI,
    ada: UserAccount,
    session_factory: SessionFactory,
    method: str,
    path: str,
    body: object,
) -> None:
    await leave_sessions_open(session_factory)
    url = f"{USERS}{path.format(id=ada.id)}"
    response = await administrator.request(method, url, json=body)
    assert response.status_code == 403
    assert "insufficient_user_authentication" in response.headers["WWW-Authenticate"]
    assert (await load(app)).version == ada.version
    found = await administrator.get(USERS, params={"email": "bob@example.com"})
    assert found.json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"email": "bob@example.com"}),
        ("POST", "/{id}/deactivate", None),
        ("DELETE", "/{id}/sessions", None),
    ],
)
async def test_access_is_taken_away_without_a_recent_login(
    administrator: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    method: str,
    path: str,
    body: object,
) -> None:
    await leave_sessions_open(session_factory)
    url = f"{USERS}{path.format(id=ada.id)}"
    assert (await administrator.request(method, url, json=body)).is_success


async def test_a_deactivated_account_loses_its_sessions_until_it_is_activated(
    administrator: httpx2.AsyncClient, browser: httpx2.AsyncClient, ada: UserAccount
) -> None:
    token = (await browser.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    response = await administrator.post(f"{USERS}/{ada.id}/deactivate")
    assert response.json()["deactivated_at"] is not None
    assert (await administrator.get(f"{AUTH}/me", headers=headers)).status_code == 401
    assert (await browser.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 401
    response = await administrator.post(f"{USERS}/{ada.id}/activate")
    assert response.json()["deactivated_at"] is None
    assert (await administrator.get(f"{AUTH}/me", headers=headers)).status_code == 401
    assert (await browser.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_a_repeated_deactivation_keeps_its_time(
    administrator: httpx2.AsyncClient, create_account: CreateAccount
) -> None:
    earlier = utc_now()
    ada = await create_account(ADA, deactivated_at=earlier)
    response = await administrator.post(f"{USERS}/{ada.id}/deactivate")
    assert response.json()["deactivated_at"] == earlier.isoformat().replace("+00:00", "Z")


async def test_sessions_of_an_account_can_be_ended(
    administrator: httpx2.AsyncClient, browser: httpx2.AsyncClient, ada: UserAccount
) -> None:
    token = (await browser.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    assert (await administrator.delete(f"{USERS}/{ada.id}/sessions")).status_code == 204
    headers = {"Authorization": f"Bearer {token}"}
    assert (await administrator.get(f"{AUTH}/me", headers=headers)).status_code == 401
    assert (await administrator.get(f"{AUTH}/me")).status_code == 200


async def test_an_account_is_deleted_with_its_sessions(
    administrator: httpx2.AsyncClient,
    browser: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
) -> None:
    await browser.post(f"{AUTH}/token", json=CREDENTIALS)
    response = await administrator.delete(f"{USERS}/{ada.id}", headers={"If-Match": '"7"'})
    assert response.status_code == 412
    assert (await administrator.delete(f"{USERS}/{ada.id}")).status_code == 204
    assert (await administrator.get(f"{USERS}/{ada.id}")).status_code == 404
    async with session_factory() as session:
        sessions = select(func.count()).where(UserSession.user_id == ada.id)
        assert await session.scalar(sessions) == 0
