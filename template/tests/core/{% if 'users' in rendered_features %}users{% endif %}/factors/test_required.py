"""USERS_SECOND_FACTOR=required: without a second factor, a session may only add one."""

import re

import httpx2
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import update

from app.core.auth.requirements import Caller, require
from app.core.database import SessionFactory
from app.core.users.factors.router import EnrollingCaller
from app.core.users.models import UserSession
from tests.core.auth.callers import Authorize
from tests.core.users.conftest import AUTH, NEW_PASSWORD, PASSWORD
from tests.core.users.factors.authenticator import Authenticator
from tests.core.users.factors.conftest import FACTORS, Person, SetVariables
from tests.core.users.factors.test_passkey_login import log_in as log_in_with_passkey

OPEN = {
    ("GET", FACTORS),
    ("POST", f"{FACTORS}/totp"),
    ("POST", f"{FACTORS}/totp/confirm"),
    ("POST", f"{FACTORS}/passkeys/options"),
    ("POST", f"{FACTORS}/passkeys"),
}


@pytest.fixture(autouse=True)
def _required(set_factors: SetVariables) -> None:
    set_factors(second_factor="required")


def protected_operations(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if operation.get("security")
    ]


async def test_a_session_without_a_factor_may_only_add_one(app: FastAPI, person: Person) -> None:
    operations = protected_operations(app)
    assert len(operations) > 20
    allowed = set()
    for method, path in operations:
        url = re.sub(r"{\w+}", str(person.account.id), path)
        response = await person.client.request(method, url, headers=person.headers)
        if response.status_code != 403:
            allowed.add((method, path))
            continue
        assert "second factor" in response.json()["detail"]
        assert "insufficient_user_authentication" in response.headers["WWW-Authenticate"]
    assert allowed == OPEN


async def test_a_restricted_session_has_no_scopes(
    app: FastAPI, client: httpx2.AsyncClient, authorize: Authorize
) -> None:
    @app.get("/test/scopes")
    async def read_scopes(caller: EnrollingCaller) -> list[str]:
        return sorted(caller.scopes)

    response = await client.get("/test/scopes", headers=await authorize("test:read"))
    assert response.json() == []


async def test_an_operation_that_mixes_both_schemes_is_closed(app: FastAPI, person: Person) -> None:
    """Whichever identifies the caller first."""

    async def enrolling(caller: EnrollingCaller) -> None: ...

    @app.get("/test/first", dependencies=[Depends(enrolling), require()])
    async def first() -> None: ...

    @app.get("/test/last")
    async def last(caller: Caller, other: EnrollingCaller) -> None: ...

    for path in ("/test/first", "/test/last"):
        assert (await person.get(path)).status_code == 403


async def test_adding_an_app_opens_the_session(person: Person) -> None:
    await person.add_app()
    assert (await person.get(f"{AUTH}/me")).status_code == 200


async def test_adding_a_passkey_opens_the_session(person: Person) -> None:
    await person.add_passkey()
    assert (await person.get(f"{AUTH}/me")).status_code == 200


@pytest.mark.parametrize("method", ["totp", "recovery_code"])
async def test_a_login_with_a_factor_is_complete(app_user: Person, method: str) -> None:
    await app_user.log_in(method)
    assert (await app_user.get(f"{AUTH}/me")).status_code == 200


async def test_a_login_with_a_passkey_alone_is_complete(passkey_user: Person) -> None:
    passkey_user.use_token(await log_in_with_passkey(passkey_user))
    assert (await passkey_user.get(f"{AUTH}/me")).status_code == 200


async def test_logout_is_possible(person: Person) -> None:
    assert (await person.post(f"{AUTH}/logout")).status_code == 204
    assert (await person.get(FACTORS)).status_code == 401


async def test_the_last_factor_is_not_removed(app_user: Person) -> None:
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 409
    assert (await app_user.enter_password()).json()["second_factors"] != []
    await app_user.add_passkey()
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 204
    path = f"{FACTORS}/passkeys/{app_user.passkey_id}"
    assert (await app_user.delete(path)).status_code == 409


async def test_a_lost_app_is_replaced_by_another(app_user: Person) -> None:
    await app_user.log_in("recovery_code")
    await app_user.add_app()
    await app_user.log_in("totp")
    assert (await app_user.get(f"{AUTH}/me")).status_code == 200


async def test_a_lost_passkey_is_replaced_by_another(passkey_user: Person) -> None:
    lost = passkey_user.passkey_id
    await passkey_user.log_in("recovery_code")
    passkey_user.passkey = Authenticator()
    await passkey_user.add_passkey()
    assert (await passkey_user.delete(f"{FACTORS}/passkeys/{lost}")).status_code == 204
    passkey_user.use_token(await log_in_with_passkey(passkey_user))
    assert (await passkey_user.get(f"{AUTH}/me")).status_code == 200


async def test_a_session_from_before_the_factor_cannot_add_another(
    app_user: Person, session_factory: SessionFactory
) -> None:
    """An attacker with only the password must not replace a factor by their own."""
    async with session_factory.begin() as session:
        await session.execute(update(UserSession).values(methods="password"))
    assert (await app_user.post(f"{FACTORS}/totp")).status_code == 403
    assert (await app_user.post(f"{FACTORS}/passkeys/options")).status_code == 403
    response = await app_user.post(f"{FACTORS}/totp/confirm", {"code": app_user.code()})
    assert response.status_code == 403


async def test_sessions_from_before_the_setting_are_restricted(
    person: Person, set_factors: SetVariables
) -> None:
    set_factors(second_factor="optional")
    assert (await person.get(f"{AUTH}/me")).status_code == 200
    set_factors(second_factor="required")
    assert (await person.get(f"{AUTH}/me")).status_code == 403


async def test_a_password_change_does_not_open_a_session(
    person: Person, set_factors: SetVariables
) -> None:
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert (await person.post(f"{AUTH}/change-password", body)).status_code == 403
    set_factors(second_factor="optional")
    person.use_token(await person.post(f"{AUTH}/change-password", body))
    set_factors(second_factor="required")
    assert (await person.get(f"{AUTH}/me")).status_code == 403
