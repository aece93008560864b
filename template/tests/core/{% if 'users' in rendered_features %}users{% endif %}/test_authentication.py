"""Sessions identify callers, until they end."""

from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from app.core.auth.requirements import Caller
from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.users.authentication import COOKIE
from app.core.users.models import UserAccount, UserSession
from tests.conftest import StatementLimit
from tests.core.auth.callers import Authorize

OWNER = uuid7()
NAME = COOKIE.encode()


@pytest.fixture(autouse=True)
def _operations(app: FastAPI) -> None:
    @app.get("/test/caller")
    async def read(caller: Caller) -> dict[str, str]:
        return {"id": caller.id, "scopes": " ".join(sorted(caller.scopes))}

    @app.post("/test/caller")
    async def write(caller: Caller) -> dict[str, str]:
        return {"id": caller.id}


@pytest.fixture
async def token(authorize: Authorize) -> str:
    headers = await authorize("test:read", id=str(OWNER))
    return headers["Authorization"].removeprefix("Bearer ")


async def read_status(client: httpx2.AsyncClient, token: str) -> int:
    response = await client.get("/test/caller", headers={"Authorization": f"Bearer {token}"})
    return response.status_code


async def test_a_bearer_token_identifies_its_caller(client: httpx2.AsyncClient, token: str) -> None:
    response = await client.get("/test/caller", headers={"Authorization": f"Bearer {token}"})
    assert response.json() == {"id": str(OWNER), "scopes": "test:read"}
    assert response.headers["Cache-Control"] == "no-store"
    assert {"Authorization", "Cookie"} <= {*response.headers["Vary"].split(", ")}


async def test_only_credentials_that_were_sent_are_a_security_event(
    client: httpx2.AsyncClient,
) -> None:
    with capture_logs() as lines:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{COOKIE}=wrong"}):
            assert (await client.get("/test/caller", headers=headers)).status_code == 401
    failures = [line for line in lines if line["event"] == "authentication failed"]
    assert len(failures) == 2


async def test_a_cookie_identifies_its_caller(client: httpx2.AsyncClient, token: str) -> None:
    response = await client.get("/test/caller", headers={"Cookie": f"{COOKIE}={token}"})
    assert response.json()["id"] == str(OWNER)


@pytest.mark.parametrize(
    "name", [b"\xa0" + NAME, b"\x85" + NAME, NAME + b"\xa0", b"\x1f" + NAME, NAME.lower()]
)
async def test_cookies_that_other_hosts_can_set_are_ignored(
    client: httpx2.AsyncClient, token: str, name: bytes
) -> None:
    """Browsers protect the exact name only: https://www.rfc-editor.org/rfc/rfc6265#section-5.3"""
    forged = name + b"=" + token.encode()
    response = await client.get("/test/caller", headers={b"Cookie": forged})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    real = NAME + b"=" + token.encode()
    cookies = b"a=b;\t" + real + b" ; " + name + b"=session_forged"
    response = await client.get("/test/caller", headers={b"Cookie": cookies})
    assert response.json()["id"] == str(OWNER)


async def test_two_cookies_with_the_same_name_count_as_none(
    client: httpx2.AsyncClient, token: str
) -> None:
    cookie = f"{COOKIE}={token}"
    for headers in ([("Cookie", f"{cookie}; {cookie}")], [("Cookie", cookie), ("Cookie", cookie)]):
        response = await client.get("/test/caller", headers=headers)
        assert response.status_code == 401
    response = await client.get("/test/caller", headers=[("Cookie", "a=b"), ("Cookie", cookie)])
    assert response.status_code == 200


async def test_equal_tokens_in_cookie_and_header_are_accepted(
    client: httpx2.AsyncClient, token: str
) -> None:
    headers = {"Cookie": f"{COOKIE}={token}", "Authorization": f"bearer {token}"}
    assert (await client.get("/test/caller", headers=headers)).status_code == 200


async def test_different_tokens_in_cookie_and_header_are_rejected(
    client: httpx2.AsyncClient, token: str, authorize: Authorize
) -> None:
    other = await authorize("test:read")
    headers = {"Cookie": f"{COOKIE}={token}", **other}
    response = await client.get("/test/caller", headers=headers)
    assert response.status_code == 401
    assert "different tokens" in response.json()["detail"]


async def test_requests_without_credentials_are_rejected(client: httpx2.AsyncClient) -> None:
    response = await client.get("/test/caller")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("token", ["session_unknown", "session_", "x", "Bearer", "session_\xff"])
async def test_unknown_tokens_are_rejected(client: httpx2.AsyncClient, token: str) -> None:
    authorization = f"Bearer {token}".encode("latin-1")
    response = await client.get("/test/caller", headers={b"Authorization": authorization})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_another_scheme_is_ignored_beside_a_cookie(
    client: httpx2.AsyncClient, token: str
) -> None:
    headers = {"Cookie": f"{COOKIE}={token}", "Authorization": "Basic dXNlcjpwYXNz"}
    assert (await client.get("/test/caller", headers=headers)).status_code == 200


@pytest.mark.parametrize("column", ["last_seen_at", "expires_at"])
async def test_a_session_ends_by_idleness_and_at_its_end(
    client: httpx2.AsyncClient, token: str, session_factory: SessionFactory, column: str
) -> None:
    lifetime = timedelta(days=7) if column == "last_seen_at" else timedelta()
    for age, status in [(timedelta(minutes=-1), 200), (timedelta(seconds=1), 401)]:
        async with session_factory.begin() as session:
            await session.execute(update(UserSession).values({column: utc_now() - lifetime - age}))
        assert await read_status(client, token) == status


async def test_a_deleted_session_is_rejected_at_once(
    client: httpx2.AsyncClient, token: str, session_factory: SessionFactory
) -> None:
    assert await read_status(client, token) == 200
    async with session_factory.begin() as session:
        await session.execute(delete(UserSession))
    assert await read_status(client, token) == 401


async def test_a_deactivated_account_is_rejected_at_once(
    client: httpx2.AsyncClient, token: str, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
    assert await read_status(client, token) == 401


async def test_changed_roles_apply_at_once(
    client: httpx2.AsyncClient, token: str, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(roles=["viewer", "removed"]))
    response = await client.get("/test/caller", headers={"Authorization": f"Bearer {token}"})
    assert "item:read" in response.json()["scopes"].split()


async def test_the_database_has_only_the_hash_of_a_token(
    token: str, session_factory: SessionFactory
) -> None:
    stored = await find_session(session_factory)
    assert token not in str(vars(stored))
    assert len(stored.token_hash) == 64


async def find_session(session_factory: SessionFactory) -> UserSession:
    async with session_factory() as session:
        return (await session.scalars(select(UserSession))).one()


async def test_authentication_costs_one_statement(
    client: httpx2.AsyncClient, token: str, statement_limit: StatementLimit
) -> None:
    with statement_limit(1):
        assert await read_status(client, token) == 200


async def test_use_is_recorded_once_per_tenth_of_the_idle_time(
    client: httpx2.AsyncClient,
    token: str,
    session_factory: SessionFactory,
    statement_limit: StatementLimit,
) -> None:
    old = utc_now() - timedelta(days=1)
    async with session_factory.begin() as session:
        await session.execute(update(UserSession).values(last_seen_at=old))
    with statement_limit(2):
        assert await read_status(client, token) == 200
    assert (await find_session(session_factory)).last_seen_at > old + timedelta(hours=23)
    with statement_limit(1):
        assert await read_status(client, token) == 200
