"""Commands for operators."""

import os
import re
import subprocess
import sys
from argparse import Namespace

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, func, select

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.settings import PROJECT_ROOT
from app.core.users.models import UserAccount
from app.manage_users import ROLE, create_administrator, end
from app.roles import ROLES
from tests.core.users.conftest import ADA, AUTH, CREDENTIALS, PASSWORD, CreateAccount, load


async def create(session_factory: SessionFactory) -> str:
    """Return the token of the link of a new administrator."""
    async with session_factory.begin() as session:
        link = await create_administrator(session, ADA)
    match = re.fullmatch(r"https://app\.example\.com/accept-invitation#token=(\S+)", link or "")
    assert match is not None
    return match[1]


async def test_the_link_sets_the_password_of_an_administrator(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    body = {"token": await create(session_factory), "password": PASSWORD}
    assert (await client.post(f"{AUTH}/accept-invitation", json=body)).status_code == 204
    token = (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    me = await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})
    assert {*me.json()["scopes"]} == {*ROLES[ROLE]} >= {"user:read", "user:write"}


async def test_migrations_create_no_account(session_factory: SessionFactory) -> None:
    async with session_factory() as session:
        assert await session.scalar(select(func.count()).select_from(UserAccount)) == 0


async def test_a_second_link_replaces_the_first(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    old, new = await create(session_factory), await create(session_factory)
    for token, status in ((old, 422), (new, 204)):
        body = {"token": token, "password": PASSWORD}
        response = await client.post(f"{AUTH}/accept-invitation", json=body)
        assert response.status_code == status


async def test_an_account_that_is_used_keeps_its_password(
    client: httpx2.AsyncClient,
    app: FastAPI,
    session_factory: SessionFactory,
    create_account: CreateAccount,
) -> None:
    await create_account(roles=["viewer"])
    async with session_factory.begin() as session:
        assert await create_administrator(session, ADA) is None
    assert (await load(app)).roles == [ROLE, "viewer"]
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_a_deactivated_account_is_left_alone(
    app: FastAPI, session_factory: SessionFactory, create_account: CreateAccount
) -> None:
    await create_account(deactivated_at=utc_now())
    with pytest.raises(SystemExit, match="is deactivated"):
        await create(session_factory)
    assert (await load(app)).roles == []


@pytest.mark.parametrize(("email", "all_"), [(ADA, False), (None, True)], ids=["one", "all"])
async def test_sessions_can_be_ended(
    logged_in: httpx2.AsyncClient, session_factory: SessionFactory, email: str | None, all_: bool
) -> None:
    async with session_factory.begin() as session:
        await end(session, Namespace(email=email, all=all_))
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 401


@pytest.mark.parametrize(("email", "all_"), [(ADA, True), (None, False), ("x@y.z", False)])
async def test_the_accounts_whose_sessions_end_are_named(
    ada: UserAccount, session_factory: SessionFactory, email: str | None, all_: bool
) -> None:
    async with session_factory.begin() as session:
        with pytest.raises(SystemExit):
            await end(session, Namespace(email=email, all=all_))


@pytest.mark.process
def test_the_command_prints_the_link(empty_database: URL) -> None:
    variables = os.environ | {"DATABASE_URL": empty_database.render_as_string(hide_password=False)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command, cwd=PROJECT_ROOT, env=variables, capture_output=True, text=True, check=False
        )

    run("alembic", "upgrade", "head")
    created = run("app.manage_users", "create-administrator", "Ada@Example.com")
    assert created.returncode == 0, created.stderr
    assert "https://app.example.com/accept-invitation#token=invitation_" in created.stdout
    assert run("app.manage_users", "create-administrator", "ada").returncode == 2
