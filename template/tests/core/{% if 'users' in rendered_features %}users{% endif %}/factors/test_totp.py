"""Authenticator apps: adding them, and logging in with their codes."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pyotp
import pytest
import structlog
from sqlalchemy import func, select

from app.core.database import SessionFactory
from app.core.users.factors import totp
from app.core.users.models import UserChallenge, UserTOTP
from tests.core.users.conftest import ADA, delete_all_expired
from tests.core.users.factors.conftest import (
    FACTORS,
    CreatePerson,
    Person,
    SetVariables,
)


async def stored(session_factory: SessionFactory) -> UserTOTP:
    async with session_factory() as session:
        return (await session.scalars(select(UserTOTP))).one()


async def test_enrolment_returns_a_secret_and_the_uri_of_a_qr_code(person: Person) -> None:
    response = await person.post(f"{FACTORS}/totp")
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    secret = response.json()["secret"]
    assert len(secret) == 32
    uri = urlsplit(response.json()["uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query)["secret"] == [secret]
    assert uri.path.endswith(f":{ADA.replace('@', '%40')}")


async def test_an_unconfirmed_app_is_no_factor(person: Person) -> None:
    await person.post(f"{FACTORS}/totp")
    assert (await person.enter_password()).json()["second_factors"] == []
    assert (await person.get(FACTORS)).json()["totp"] is None


async def test_an_unconfirmed_app_does_not_stand_for_another_factor(passkey_user: Person) -> None:
    passkey_user.secret = (await passkey_user.post(f"{FACTORS}/totp")).json()["secret"]
    challenge = await passkey_user.start_login()
    response = await passkey_user.finish_login(challenge, method="totp", code=passkey_user.code())
    assert response.status_code == 401


async def test_a_code_confirms_the_app_and_the_session_goes_on(person: Person) -> None:
    old_headers = person.headers
    response = await person.add_app()
    assert len(response.json()["recovery_codes"]) == 10
    assert (await person.get(FACTORS)).json()["totp"] is not None
    # A new token, as after a login.
    old = await person.client.get(FACTORS, headers=old_headers)
    assert old.status_code == 401


async def test_a_wrong_code_does_not_confirm(person: Person) -> None:
    person.secret = (await person.post(f"{FACTORS}/totp")).json()["secret"]
    wrong = f"{(int(person.code()) + 1) % 1_000_000:06}"
    response = await person.post(f"{FACTORS}/totp/confirm", {"code": wrong})
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["body", "code"]
    assert (await person.enter_password()).json()["second_factors"] == []


async def test_a_secret_has_to_be_confirmed_in_time(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totp, "CONFIRMATION_TIME", timedelta(minutes=5))
    person.secret = (await person.post(f"{FACTORS}/totp")).json()["secret"]
    person.clock.forward(301)
    response = await person.post(f"{FACTORS}/totp/confirm", {"code": person.code()})
    assert response.status_code == 422


async def test_a_new_enrolment_replaces_an_unconfirmed_one(person: Person) -> None:
    first = (await person.post(f"{FACTORS}/totp")).json()["secret"]
    person.secret = (await person.post(f"{FACTORS}/totp")).json()["secret"]
    of_first = {"code": pyotp.TOTP(first).at(person.clock.now)}
    assert (await person.post(f"{FACTORS}/totp/confirm", of_first)).status_code == 422
    of_second = {"code": person.code()}
    assert (await person.post(f"{FACTORS}/totp/confirm", of_second)).status_code == 200


async def test_a_new_app_replaces_the_old_one_once_it_is_confirmed(app_user: Person) -> None:
    old = app_user.secret
    new = (await app_user.post(f"{FACTORS}/totp")).json()["secret"]
    await app_user.log_in("totp")
    app_user.clock.forward(30)
    of_old = {"code": app_user.code()}
    assert (await app_user.post(f"{FACTORS}/totp/confirm", of_old)).status_code == 422
    app_user.secret = new
    response = await app_user.post(f"{FACTORS}/totp/confirm", {"code": app_user.code()})
    assert response.status_code == 200
    assert response.json()["recovery_codes"] is None
    app_user.clock.forward(30)
    for secret, status in [(old, 401), (new, 200)]:
        code = pyotp.TOTP(secret).at(app_user.clock.now)
        challenge = await app_user.start_login()
        response = await app_user.finish_login(challenge, method="totp", code=code)
        assert response.status_code == status


async def test_the_secret_is_encrypted_at_rest(
    app_user: Person, session_factory: SessionFactory
) -> None:
    row = await stored(session_factory)
    assert app_user.secret not in row.encrypted_secret
    assert row.encrypted_secret.startswith("gAAAA")


async def test_enrolment_needs_a_key(person: Person, set_factors: SetVariables) -> None:
    set_factors(secret_key="")
    with structlog.testing.capture_logs() as logs:
        response = await person.post(f"{FACTORS}/totp")
    assert response.status_code == 409
    # What only an operator can mend is for the log.
    assert "USERS_SECRET_KEY" not in response.text
    assert [each["reason"] for each in logs if each["log_level"] == "error"] == [
        "USERS_SECRET_KEY is not set"
    ]


async def test_a_missing_key_does_not_open_accounts(
    app_user: Person, set_factors: SetVariables, lenient_client: httpx2.AsyncClient
) -> None:
    app_user.client = lenient_client
    challenge = await app_user.start_login()
    set_factors(secret_key="")
    assert (await app_user.enter_password()).json()["second_factors"][0] == "totp"
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code())
    assert response.status_code == 500


@pytest.mark.parametrize("steps", [0, -1])
async def test_codes_of_the_current_and_the_previous_step_are_accepted(
    app_user: Person, steps: int
) -> None:
    app_user.clock.forward(60)
    challenge = await app_user.start_login()
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code(steps))
    assert response.status_code == 200


@pytest.mark.parametrize("steps", [-10, -2, 1, 2, 10])
async def test_codes_of_other_steps_are_rejected(app_user: Person, steps: int) -> None:
    app_user.clock.forward(600)
    challenge = await app_user.start_login()
    response = await app_user.finish_login(challenge, method="totp", code=app_user.code(steps))
    assert response.status_code == 401


FULL_WIDTH = "\uff11\uff12\uff13\uff14\uff15\uff16"


@pytest.mark.parametrize("code", ["000000", "12345", "1234567", "abcdef", FULL_WIDTH])
async def test_other_texts_are_rejected(app_user: Person, code: str) -> None:
    app_user.clock.forward(600)
    challenge = await app_user.start_login()
    response = await app_user.finish_login(challenge, method="totp", code=code)
    assert response.status_code in {401, 422}


async def test_the_code_of_the_enrolment_cannot_log_in(app_user: Person) -> None:
    challenge = await app_user.start_login()
    used = app_user.code(-1)
    response = await app_user.finish_login(challenge, method="totp", code=used)
    assert response.status_code == 401


async def test_a_code_works_once(app_user: Person) -> None:
    code = app_user.code()
    for status in (200, 401):
        challenge = await app_user.start_login()
        response = await app_user.finish_login(challenge, method="totp", code=code)
        assert response.status_code == status


async def test_after_the_current_code_the_previous_one_is_rejected(app_user: Person) -> None:
    app_user.clock.forward(60)
    for code, status in [(app_user.code(), 200), (app_user.code(-1), 401)]:
        challenge = await app_user.start_login()
        response = await app_user.finish_login(challenge, method="totp", code=code)
        assert response.status_code == status


async def test_the_app_of_another_account_is_no_factor(
    app_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    await other.add_app()
    challenge = await app_user.start_login()
    response = await app_user.finish_login(challenge, method="totp", code=other.code())
    assert response.status_code == 401


async def test_a_removed_app_is_not_a_factor(app_user: Person) -> None:
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 204
    assert (await app_user.enter_password()).json()["second_factors"] == []
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 404


async def test_expired_rows_are_deleted(
    app_user: Person, create_person: CreatePerson, session_factory: SessionFactory
) -> None:
    unconfirmed = await create_person("bob@example.com")
    await unconfirmed.post(f"{FACTORS}/totp")
    await app_user.start_login()
    for seconds, rows in [(290, [2, 1]), (20, [2, 0]), (300, [1, 0])]:
        app_user.clock.forward(seconds)
        async with session_factory.begin() as session:
            await delete_all_expired(session)
            assert rows == [
                await session.scalar(select(func.count()).select_from(model))
                for model in (UserTOTP, UserChallenge)
            ]
    await app_user.log_in("totp")
