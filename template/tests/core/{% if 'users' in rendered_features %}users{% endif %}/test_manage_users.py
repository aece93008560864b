"""The command that creates the first administrator."""

import os
import re
import subprocess
import sys

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.settings import PROJECT_ROOT
from app.manage_users import ROLE, create_administrator
from app.roles import ROLES
from tests.core.users.conftest import ADA, AUTH, CREDENTIALS, PASSWORD, CreateAccount, load


async def create(session_factory: SessionFactory) -> str:
    async with session_factory.begin() as session:
        link = await create_administrator(session, ADA)
    match = re.fullmatch(r"https://app\.example\.com/accept-invitation#token=(\S+)", link)
    assert match is not None
    return match[1]


async def test_the_link_sets_the_password_of_an_administrator(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    body = {"token": await create(session_factory), "password": PASSWORD}
    assert (await client.post(f"{AUTH}/accept-invitation", json=body)).status_code == 204
    token = (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    me = await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})
    assert {*me.json()["scopes"]} == {*ROLES["administrator"]}


async def test_a_second_link_replaces_the_first(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    old, new = await create(session_factory), await create(session_factory)
    for token, status in ((old, 422), (new, 204)):
        body = {"token": token, "password": PASSWORD}
        response = await client.post(f"{AUTH}/accept-invitation", json=body)
        assert response.status_code == status


@pytest.mark.parametrize("values", [{}, {"deactivated_at": utc_now()}], ids=["active", "inactive"])
async def test_accounts_that_were_used_are_left_alone(
    app: FastAPI,
    session_factory: SessionFactory,
    create_account: CreateAccount,
    values: dict[str, object],
) -> None:
    await create_account(ADA, **values)
    with pytest.raises(SystemExit, match="already has an account"):
        await create(session_factory)
    assert (await load(app)).roles == []


def test_the_role_exists() -> None:
    assert {"user:read", "user:write"} <= {*ROLES[ROLE]}


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
