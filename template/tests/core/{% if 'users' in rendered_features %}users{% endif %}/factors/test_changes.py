"""Adding and removing factors needs a recent login with one, and the owner is notified."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from app.core.auth.requirements import Caller
from app.core.database import SessionFactory
from app.core.users.caller_session import require_session
from app.core.users.models import UserPasskey, UserSession, UserTOTP
from tests.core.auth.callers import Authorize
from tests.core.users.conftest import AUTH, CREDENTIALS, NEW_PASSWORD, PASSWORD, ReadMail
from tests.core.users.factors.conftest import FACTORS, CreatePerson, Person

Change = Callable[[Person], Awaitable[httpx2.Response]]


async def add_passkey(person: Person) -> httpx2.Response:
    body = {"credential": person.passkey.create({"user": {"id": "AA"}, "challenge": "AA"})}
    return await person.post(f"{FACTORS}/passkeys", body | {"name": "Phone"})


CHANGES: dict[str, Change] = {
    "start app": lambda person: person.post(f"{FACTORS}/totp"),
    "confirm app": lambda person: person.post(f"{FACTORS}/totp/confirm", {"code": "000000"}),
    "remove app": lambda person: person.delete(f"{FACTORS}/totp"),
    "start passkey": lambda person: person.post(f"{FACTORS}/passkeys/options"),
    "add passkey": add_passkey,
    "remove passkey": lambda person: person.delete(f"{FACTORS}/passkeys/{person.account.id}"),
    "recovery codes": lambda person: person.post(f"{FACTORS}/recovery-codes"),
}


async def set_session(session_factory: SessionFactory, **values: object) -> None:
    async with session_factory.begin() as session:
        await session.execute(update(UserSession).values(**values))


async def statuses_of_changes(person: Person) -> dict[str, int]:
    return {name: (await change(person)).status_code for name, change in CHANGES.items()}


async def test_changes_need_a_recent_login(app_user: Person) -> None:
    app_user.clock.forward(601)
    assert await statuses_of_changes(app_user) == dict.fromkeys(CHANGES, 403)
    response = await app_user.delete(f"{FACTORS}/totp")
    assert "insufficient_user_authentication" in response.headers["WWW-Authenticate"]


async def test_changes_need_a_login_with_a_factor(
    app_user: Person, session_factory: SessionFactory
) -> None:
    """Of an account that has one: its session may be older than the factor."""
    await set_session(session_factory, methods="password")
    assert await statuses_of_changes(app_user) == dict.fromkeys(CHANGES, 403)
    await app_user.log_in("totp")
    assert 403 not in (await statuses_of_changes(app_user)).values()


async def test_changes_need_a_caller(app_user: Person) -> None:
    app_user.headers = {}
    assert await statuses_of_changes(app_user) == dict.fromkeys(CHANGES, 401)


async def test_adding_a_factor_does_not_stand_for_a_login(person: Person) -> None:
    person.clock.forward(590)
    await person.add_app()
    assert (await person.delete(f"{FACTORS}/totp")).status_code == 403


async def test_a_password_change_does_not_stand_for_a_login(app_user: Person) -> None:
    app_user.clock.forward(500)
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    app_user.use_token(await app_user.post(f"{AUTH}/change-password", body))
    app_user.clock.forward(100)
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 403


async def test_the_session_after_a_password_change_has_the_same_factors(
    app_user: Person,
) -> None:
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    app_user.use_token(await app_user.post(f"{AUTH}/change-password", body))
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 204


@pytest.mark.parametrize(
    ("method", "methods"),
    [
        ("", ["password", "totp"]),
        ("totp", ["password", "totp"]),
        ("recovery_code", ["password", "recovery_code"]),
    ],
)
async def test_services_know_how_their_callers_have_logged_in(
    app: FastAPI, app_user: Person, method: str, methods: list[str]
) -> None:
    @app.get("/test/methods")
    async def read_methods(caller: Caller) -> list[str]:
        return list(require_session(caller).methods)

    if method:
        await app_user.log_in(method)
    assert (await app_user.get("/test/methods")).json() == methods


async def test_the_session_of_the_request_gets_a_new_token_in_its_cookie(
    browser: httpx2.AsyncClient, person: Person
) -> None:
    await browser.post(f"{AUTH}/login", json=CREDENTIALS)
    before = browser.cookies["__Host-session"]
    person.secret = (await browser.post(f"{FACTORS}/totp")).json()["secret"]
    response = await browser.post(f"{FACTORS}/totp/confirm", json={"code": person.code()})
    # No script can read it from the body.
    assert response.json()["token"] is None
    assert browser.cookies["__Host-session"] != before
    assert (await browser.get(f"{AUTH}/me")).status_code == 200


@pytest.mark.parametrize(("keep", "status"), [(False, 401), (True, 200)])
async def test_adding_a_factor_ends_other_sessions_unless_they_are_kept(
    person: Person, keep: bool, status: int
) -> None:
    other = person.headers
    await person.log_in()
    await person.add_app(keep_other_sessions=keep)
    assert (await person.client.get(f"{AUTH}/me", headers=other)).status_code == status
    assert (await person.get(f"{AUTH}/me")).status_code == 200


@pytest.mark.parametrize(("query", "status"), [("", 401), ("?keep_other_sessions=true", 200)])
@pytest.mark.parametrize("factor", ["totp", "passkeys"])
async def test_removing_a_factor_ends_other_sessions_unless_they_are_kept(
    app_user: Person, factor: str, query: str, status: int
) -> None:
    await app_user.add_passkey()
    other = app_user.headers
    await app_user.log_in("totp")
    path = f"passkeys/{app_user.passkey_id}" if factor == "passkeys" else "totp"
    assert (await app_user.delete(f"{FACTORS}/{path}{query}")).status_code == 204
    assert (await app_user.client.get(f"{AUTH}/me", headers=other)).status_code == status
    assert (await app_user.get(f"{AUTH}/me")).status_code == 200


async def test_adding_a_factor_ends_half_finished_logins_with_the_password(
    app_user: Person,
) -> None:
    challenge = await app_user.start_login()
    await app_user.add_passkey()
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 422


async def test_the_owner_is_notified_of_changes(app_user: Person, read_mail: ReadMail) -> None:
    assert "authenticator app" in (await read_mail()).text
    # A stranger may have chosen its name.
    await app_user.add_passkey("https://evil.example")
    mail = await read_mail()
    assert "a passkey was added" in mail.text
    assert "only an\nadministrator of" in mail.text
    assert "evil.example" not in mail.text + mail.html
    await app_user.post(f"{FACTORS}/recovery-codes")
    assert "recovery codes" in (await read_mail()).text
    await app_user.delete(f"{FACTORS}/totp")
    assert "removed" in (await read_mail()).subject
    await app_user.delete(f"{FACTORS}/passkeys/{app_user.passkey_id}")
    assert "a passkey was removed" in (await read_mail()).text


async def test_changes_are_in_the_audit_log(
    app_user: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    await app_user.add_passkey()
    await app_user.post(f"{FACTORS}/recovery-codes")
    await app_user.delete(f"{FACTORS}/totp")
    lines = [line for line in capsys.readouterr().out.splitlines() if "audit=True" in line]
    for event in ("second factor added", "recovery codes replaced", "second factor removed"):
        [line] = [line for line in lines if f" {event} " in line]
        assert str(app_user.account.id) in line


async def test_administrators_reset_factors(
    app_user: Person,
    authorize: Authorize,
    session_factory: SessionFactory,
    read_mail: ReadMail,
) -> None:
    await app_user.add_passkey()
    challenge = await app_user.start_login()
    administrator = await authorize("user:write")
    path = f"/api/v1/users/{app_user.account.id}/second-factors"
    response = await app_user.client.delete(path, headers=administrator)
    assert response.status_code == 204
    assert (await app_user.get(f"{AUTH}/me")).status_code == 401
    ended = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert ended.status_code == 422
    async with session_factory() as session:
        assert [*await session.scalars(select(UserTOTP))] == []
        assert [*await session.scalars(select(UserPasskey))] == []
    await app_user.log_in()
    assert (await app_user.get(FACTORS)).json()["recovery_codes_left"] == 0


async def test_the_owner_is_told_of_a_reset(
    app_user: Person, authorize: Authorize, read_mail: ReadMail
) -> None:
    await read_mail()
    path = f"/api/v1/users/{app_user.account.id}/second-factors"
    await app_user.client.delete(path, headers=await authorize("user:write"))
    assert "administrator" in (await read_mail()).text


@pytest.mark.parametrize("scopes", [[], ["user:read"]])
async def test_a_reset_needs_its_scope(
    app_user: Person, authorize: Authorize, scopes: list[str]
) -> None:
    path = f"/api/v1/users/{app_user.account.id}/second-factors"
    response = await app_user.client.delete(path, headers=await authorize(*scopes))
    assert response.status_code == 403


async def test_a_reset_needs_a_recent_login(
    app_user: Person, authorize: Authorize, session_factory: SessionFactory
) -> None:
    administrator = await authorize("user:write")
    app_user.clock.forward(601)
    path = f"/api/v1/users/{app_user.account.id}/second-factors"
    response = await app_user.client.delete(path, headers=administrator)
    assert response.status_code == 403


SENSITIVE: dict[str, dict[str, Any]] = {
    "change-email": {"email": "new@example.com"},
    "api-keys": {"name": "Backup", "scopes": ["item:read"]},
    f"identities/{UUID(int=1)}/unlink": {},
    "deactivate": {},
    "delete-account": {},
}


@dataclass
class Kept:
    """A session that has proved the password only, of an account with an authenticator app."""

    person: Person
    headers: dict[str, str]

    async def post(self, operation: str, body: dict[str, Any]) -> httpx2.Response:
        path = f"{AUTH}/{operation}"
        return await self.person.client.post(path, json=body, headers=self.headers)


@pytest.fixture
async def kept(person: Person) -> Kept:
    headers = person.headers
    await person.log_in()
    await person.add_app(keep_other_sessions=True)
    return Kept(person, headers)


def needs_login(response: httpx2.Response) -> bool:
    header = response.headers.get("WWW-Authenticate", "")
    return response.status_code == 403 and "insufficient_user_authentication" in header


@pytest.mark.parametrize("operation", SENSITIVE)
@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_a_session_from_before_the_factor_makes_no_sensitive_change(
    kept: Kept, operation: str, password: str | None
) -> None:
    """An attacker with the session and the password does not have the factor."""
    body = SENSITIVE[operation] | {"current_password": password}
    assert needs_login(await kept.post(operation, body))
    await kept.person.log_in("totp")
    assert not needs_login(await kept.person.post(f"{AUTH}/{operation}", body))


async def test_a_session_from_before_the_factor_sets_no_password(kept: Kept) -> None:
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert needs_login(await kept.post("change-password", body))
    await kept.person.log_in("totp")
    assert (await kept.person.post(f"{AUTH}/change-password", body)).status_code == 200


async def test_administrators_with_a_factor_reset_those_of_others_after_proving_it(
    app_user: Person, create_person: CreatePerson, session_factory: SessionFactory
) -> None:
    bob = await create_person("bob@example.com", roles=["administrator"])
    before = bob.headers
    await bob.log_in()
    await bob.add_app(keep_other_sessions=True)
    path = f"/api/v1/users/{app_user.account.id}/second-factors"
    assert (await bob.client.delete(path, headers=before)).status_code == 403
    assert (await bob.delete(path)).status_code == 204


@pytest.mark.parametrize(("password", "status"), [(None, 403), ("wrong", 403), (PASSWORD, 204)])
async def test_one_factor_is_enough_to_end_all_sessions(
    app_user: Person, session_factory: SessionFactory, password: str | None, status: int
) -> None:
    """The owner of an abused account has to be fast."""
    app_user.clock.forward(601)
    response = await app_user.post(f"{AUTH}/logout-everywhere", {"current_password": password})
    assert response.status_code == status
    async with session_factory() as session:
        sessions = [*await session.scalars(select(UserSession))]
    assert len(sessions) == (0 if status == 204 else 1)


async def test_a_recent_login_with_one_factor_is_enough_to_end_sessions(kept: Kept) -> None:
    sessions = (await kept.person.client.get(f"{AUTH}/sessions", headers=kept.headers)).json()
    [other] = [each["id"] for each in sessions if not each["is_current"]]
    path = f"{AUTH}/sessions/{other}"
    assert (await kept.person.client.delete(path, headers=kept.headers)).status_code == 204
    assert (await kept.post("logout-everywhere", {})).status_code == 204


@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_with_a_factor_other_sensitive_changes_need_a_recent_login_too(
    app_user: Person, password: str | None
) -> None:
    """A password alone is less than what the session has proved."""
    app_user.clock.forward(601)
    body = {"email": "new@example.com", "current_password": password}
    assert (await app_user.post(f"{AUTH}/change-email", body)).status_code == 403
    await app_user.log_in("totp")
    assert (await app_user.post(f"{AUTH}/change-email", body)).status_code == 202
