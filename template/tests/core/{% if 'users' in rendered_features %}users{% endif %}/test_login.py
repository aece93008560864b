"""Login with a password, and logout."""

import json
import unicodedata
from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.settings import PROJECT_ROOT
from app.core.users.authentication import COOKIE
from app.core.users.models import UserAccount, UserSession
from app.core.users.passwords.hashes import PasswordHasher
from tests.conftest import connect
from tests.core.users.conftest import (
    ADA,
    AUTH,
    CREDENTIALS,
    NEW_PASSWORD,
    PASSWORD,
    Configure,
    CreateAccount,
    load,
)

WRONG = CREDENTIALS | {"password": "wrong"}


async def count_sessions(session_factory: SessionFactory) -> int:
    async with session_factory() as session:
        return len([*await session.scalars(select(UserSession))])


async def test_a_login_sets_a_cookie_that_scripts_and_other_hosts_cannot_use(
    browser: httpx2.AsyncClient, ada: UserAccount
) -> None:
    response = await browser.post(f"{AUTH}/login", json=CREDENTIALS)
    [cookie] = response.headers.get_list("Set-Cookie")
    name_and_value, *attributes = cookie.split("; ")
    assert name_and_value.startswith("__Host-session=session_")
    assert {*attributes} == {"HttpOnly", "Secure", "SameSite=lax", "Path=/", "Max-Age=2592000"}
    assert response.headers["Cache-Control"] == "no-store"
    # No script can read it from the body.
    assert response.json() == {"challenge": None, "second_factors": []}
    assert (await browser.get(f"{AUTH}/me")).json()["email"] == ADA


async def test_a_bearer_token_comes_without_a_cookie(
    browser: httpx2.AsyncClient, ada: UserAccount
) -> None:
    response = await browser.post(f"{AUTH}/token", json=CREDENTIALS)
    assert "Set-Cookie" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {response.json()['token']}"}
    assert (await browser.get(f"{AUTH}/me", headers=headers)).json()["email"] == ADA


async def test_case_of_the_address_does_not_matter(
    client: httpx2.AsyncClient, ada: UserAccount
) -> None:
    body = CREDENTIALS | {"email": "ADA@Example.com"}
    assert (await client.post(f"{AUTH}/login", json=body)).status_code == 200


@pytest.mark.parametrize("operation", ["login", "token"])
async def test_rejected_logins_do_not_tell_why(
    client: httpx2.AsyncClient, create_account: CreateAccount, operation: str
) -> None:
    await create_account(ADA)
    await create_account("invited@example.com", None, email_verified_at=None)
    await create_account("inactive@example.com", deactivated_at=utc_now())
    responses = [
        await client.post(f"{AUTH}/{operation}", json={"email": email, "password": password})
        for email, password in [
            (ADA, "wrong"),
            ("unknown@example.com", PASSWORD),
            ("invited@example.com", PASSWORD),
            ("inactive@example.com", PASSWORD),
        ]
    ]
    for response in responses:
        assert response.status_code == 401
        assert "Set-Cookie" not in response.headers
        response.headers.pop("X-Request-ID")
    assert len({(r.content, str(r.headers)) for r in responses}) == 1


async def test_each_attempt_verifies_one_hash_of_the_same_cost(
    client: httpx2.AsyncClient, create_account: CreateAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_account(ADA)
    await create_account("invited@example.com", None)
    parameters: list[str] = []
    verify = PasswordHasher.verify

    async def record(hasher: PasswordHasher, password: str, stored: str | None) -> object:
        parameters.append((stored or hasher._decoy).rpartition("$")[0].rpartition("$")[0])
        return await verify(hasher, password, stored)

    monkeypatch.setattr(PasswordHasher, "verify", record)
    for email in (ADA, "unknown@example.com", "invited@example.com"):
        await client.post(f"{AUTH}/login", json={"email": email, "password": "wrong"})
    assert parameters == ["$argon2id$v=19$m=7168,t=1,p=1"] * 3


async def test_a_login_never_adopts_a_token_of_the_request(
    browser: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    chosen = "session_chosen-by-an-attacker"
    headers = {"Cookie": f"{COOKIE}={chosen}"}
    response = await browser.post(f"{AUTH}/login", json=CREDENTIALS, headers=headers)
    assert chosen not in response.headers["Set-Cookie"]
    bearer = {"Authorization": f"Bearer {chosen}"}
    async with connect(browser._transport.app, "https://test") as attacker:  # type: ignore[attr-defined]
        assert (await attacker.get(f"{AUTH}/me", headers=bearer)).status_code == 401


async def test_a_login_ends_the_session_of_the_cookie(
    logged_in: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    old = logged_in.cookies[COOKIE]
    await logged_in.post(f"{AUTH}/login", json=CREDENTIALS)
    assert logged_in.cookies[COOKIE] != old
    assert await count_sessions(session_factory) == 1


@pytest.mark.parametrize("operation", ["login", "token"])
async def test_a_login_ends_the_session_of_the_bearer_token(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    operation: str,
) -> None:
    old = (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    headers = {"Authorization": f"Bearer {old}"}
    await client.post(f"{AUTH}/{operation}", json=WRONG, headers=headers)
    assert (await client.get(f"{AUTH}/me", headers=headers)).status_code == 200
    response = await client.post(f"{AUTH}/{operation}", json=CREDENTIALS, headers=headers)
    assert response.status_code == 200
    assert response.json().get("token") != old
    assert await count_sessions(session_factory) == 1
    client.cookies.clear()
    assert (await client.get(f"{AUTH}/me", headers=headers)).status_code == 401


async def test_a_login_for_a_bearer_token_keeps_the_session_of_the_cookie(
    logged_in: httpx2.AsyncClient,
) -> None:
    """A page that gets a token for a program stays logged in."""
    await logged_in.post(f"{AUTH}/token", json=CREDENTIALS)
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 200


async def test_a_failed_login_does_not_end_the_session(logged_in: httpx2.AsyncClient) -> None:
    await logged_in.post(f"{AUTH}/login", json=WRONG)
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 200


async def test_beyond_the_limit_the_least_used_session_ends(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    configure: Configure,
) -> None:
    configure(session_limit=2)
    tokens = [
        (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"] for _ in range(4)
    ]
    statuses = [
        (await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})).status_code
        for token in tokens
    ]
    assert statuses == [401, 401, 200, 200]


async def test_sessions_that_have_ended_do_not_use_the_limit(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    session_factory: SessionFactory,
    configure: Configure,
) -> None:
    configure(session_limit=2)
    now = utc_now()
    ended = {"last_seen_at": now, "expires_at": now}
    idle = {"last_seen_at": now - timedelta(days=8), "expires_at": now + timedelta(days=1)}
    # Used before the one that has ended.
    live = {"last_seen_at": now - timedelta(hours=1), "expires_at": now + timedelta(days=1)}
    async with session_factory.begin() as session:
        for name, times in {"ended": ended, "idle": idle, "live": live}.items():
            session.add(UserSession(user_id=ada.id, token_hash=name, user_agent=name, **times))
    headers = {"User-Agent": "new"}
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS, headers=headers)).is_success
    async with session_factory() as session:
        assert {*await session.scalars(select(UserSession.user_agent))} == {"live", "new"}


async def test_a_login_renews_hashes_with_old_parameters(
    client: httpx2.AsyncClient, ada: UserAccount, app: FastAPI, configure: Configure
) -> None:
    configure(argon2_time_cost=2)
    assert (await client.post(f"{AUTH}/login", json=WRONG)).status_code == 401
    assert (await load(app)).password_hash == ada.password_hash
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200
    assert "t=2" in str((await load(app)).password_hash)
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 200


async def test_a_password_that_changes_during_a_login_is_rejected(
    client: httpx2.AsyncClient,
    ada: UserAccount,
    app: FastAPI,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verify = PasswordHasher.verify

    async def verify_late(hasher: PasswordHasher, password: str, stored: str | None) -> object:
        result = await verify(hasher, password, stored)
        new_hash = await hasher.hash(NEW_PASSWORD)
        async with app.state.session_factory.begin() as session:
            await session.execute(update(UserAccount).values(password_hash=new_hash))
        return result

    monkeypatch.setattr(PasswordHasher, "verify", verify_late)
    assert (await client.post(f"{AUTH}/login", json=CREDENTIALS)).status_code == 401


async def test_logout_ends_the_session_and_deletes_the_cookie(
    logged_in: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    response = await logged_in.post(f"{AUTH}/logout")
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert response.headers["Set-Cookie"].startswith(f"{COOKIE}=")
    assert await count_sessions(session_factory) == 0
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 401


async def test_logout_ends_the_session_of_a_bearer_token(
    client: httpx2.AsyncClient, ada: UserAccount, session_factory: SessionFactory
) -> None:
    token = (await client.post(f"{AUTH}/token", json=CREDENTIALS)).json()["token"]
    headers = {"Authorization": f"bearer {token}"}
    assert (await client.post(f"{AUTH}/logout", headers=headers)).status_code == 204
    assert await count_sessions(session_factory) == 0


async def test_logout_without_a_session_succeeds(client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{AUTH}/logout")).status_code == 204


@pytest.mark.parametrize("operation", ["login", "logout", "sign-up", "forgot-password"])
async def test_pages_of_other_sites_cannot_log_in_or_out(
    logged_in: httpx2.AsyncClient, operation: str
) -> None:
    body = CREDENTIALS if operation == "login" else {"email": ADA}
    response = await logged_in.post(
        f"{AUTH}/{operation}", json=body, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert response.status_code == 403
    assert (await logged_in.get(f"{AUTH}/me")).status_code == 200


@pytest.mark.parametrize(
    "password", ["ﬁnally ① Ⅷ ligatures", "naïve café ångström", "пароль 中文 🔑 emoji x"]
)
async def test_passwords_match_in_every_unicode_normalization(
    client: httpx2.AsyncClient, create_account: CreateAccount, password: str
) -> None:
    await create_account(ADA, password)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        body = {"email": ADA, "password": unicodedata.normalize(form, password)}
        assert (await client.post(f"{AUTH}/login", json=body)).status_code == 200


@pytest.mark.parametrize("password", ["x" * 1025, "", "\ud800", None, 1, ["x"]])
async def test_impossible_passwords_are_invalid(
    client: httpx2.AsyncClient, ada: UserAccount, password: object
) -> None:
    content = json.dumps({"email": ADA, "password": password})
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{AUTH}/login", content=content, headers=headers)
    assert response.status_code == 422


async def test_case_and_spaces_of_passwords_matter(
    client: httpx2.AsyncClient, ada: UserAccount
) -> None:
    for password in (PASSWORD.upper(), f" {PASSWORD}", f"{PASSWORD} ", PASSWORD[:-1]):
        body = {"email": ADA, "password": password}
        assert (await client.post(f"{AUTH}/login", json=body)).status_code == 401


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "ada@\u212aexample.com",
        "ädä@example.com",
        "a@b\r\nBcc: x@y",
        "x" * 250 + "@example.com",
    ],
)
async def test_impossible_addresses_are_invalid(client: httpx2.AsyncClient, email: str) -> None:
    body = {"email": email, "password": PASSWORD}
    assert (await client.post(f"{AUTH}/login", json=body)).status_code == 422


def test_sessions_start_in_one_place() -> None:
    callers = {
        path.name
        for path in (PROJECT_ROOT / "app").rglob("*.py")
        if "start_session(" in path.read_text("utf-8")
    }
    assert callers == {"login.py", "sessions.py"}
