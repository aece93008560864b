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
from app.manage_users import ROLE, create_administrator, end, main
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


@pytest.mark.parametrize("api_keys", [False, True], ids=["sessions", "sessions and keys"])
@pytest.mark.parametrize(("email", "all_"), [(ADA, False), (None, True)], ids=["one", "all"])
async def test_sessions_and_keys_can_be_ended(
    client: httpx2.AsyncClient,
    create_account: CreateAccount,
    session_factory: SessionFactory,
    email: str | None,
    all_: bool,
    api_keys: bool,
) -> None:
    await create_account(roles=["viewer"])
    await create_account("bob@example.com", roles=["viewer"])
    headers, keys = [], []
    for address in (ADA, "bob@example.com"):
        credentials = CREDENTIALS | {"email": address}
        token = (await client.post(f"{AUTH}/token", json=credentials)).json()["token"]
        headers.append({"Authorization": f"Bearer {token}"})
        body = {"name": "Backup", "scopes": ["item:read"]}
        created = await client.post(f"{AUTH}/api-keys", json=body, headers=headers[-1])
        keys.append({"Authorization": f"Bearer {created.json()['key']}"})
    async with session_factory.begin() as session:
        message = await end(session, Namespace(email=email, all=all_, api_keys=api_keys))
    assert ("keys" in message) == api_keys
    of_sessions = [(await client.get(f"{AUTH}/me", headers=each)).status_code for each in headers]
    assert of_sessions == [401, 401 if all_ else 200]
    of_keys = [(await client.get("/api/v1/items", headers=each)).status_code for each in keys]
    assert of_keys == [401 if api_keys else 200, 401 if api_keys and all_ else 200]


async def test_sessions_of_an_unknown_account_are_not_ended(
    session_factory: SessionFactory,
) -> None:
    async with session_factory.begin() as session:
        with pytest.raises(SystemExit, match=r"x@y\.z: no such account"):
            await end(session, Namespace(email="x@y.z", all=False, api_keys=False))


@pytest.mark.process
def test_the_command_prints_the_link(empty_database: URL) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_python(empty_database, "-m", *arguments)

    run("alembic", "upgrade", "head")
    created = run("app.manage_users", "create-administrator", "Ada@Example.com")
    assert created.returncode == 0, created.stderr
    assert "https://app.example.com/accept-invitation#token=invitation_" in created.stdout
    assert "within 7 days" in created.stdout
    ended = run("app.manage_users", "end-sessions", "ada@example.com", "--api-keys")
    assert ended.stdout == "The sessions have ended, and the API keys are revoked.\n"


def run_python(url: URL, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": url.render_as_string(hide_password=False)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create-administrator", "ada@@example"], "not a mail address such as ada@example.com"),
        (["end-sessions"], "one of the arguments EMAIL --all is required"),
        (["end-sessions", ADA, "--all"], "argument --all: not allowed with argument EMAIL"),
    ],
    ids=["address", "nobody", "both"],
)
def test_wrong_arguments_are_named(
    arguments: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.manage_users", *arguments])
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 2
    assert capsys.readouterr().err.endswith(f"{reason}\n")


@pytest.mark.process
def test_a_database_that_cannot_be_reached_is_named(empty_database: URL) -> None:
    url = empty_database.set(database="/missing/database")
    done = run_python(url, "-m", "app.manage_users", "end-sessions", "--all")
    assert done.returncode == 1
    # Sometimes beside one of a thread of aiosqlite that outlives the loop.
    assert "DATABASE_URL: " in done.stderr
    assert "sqlalchemy" not in done.stderr


INTERRUPTED = """
import asyncio, os, signal
from app import manage_users

# Ignored in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def run(_):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)

manage_users.run = run
manage_users.main()
"""


@pytest.mark.process
def test_a_command_that_is_interrupted_says_so(empty_database: URL) -> None:
    done = run_python(empty_database, "-c", INTERRUPTED, "end-sessions", "--all")
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")
