"""Recovery codes: each logs in once, instead of a lost factor."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import delete, func, select

from app.core.database import SessionFactory
from app.core.users.models import UserRecoveryCode, UserTOTP
from tests.core.users.conftest import ReadMail
from tests.core.users.factors.conftest import FACTORS, CreatePerson, Person


async def codes_left(person: Person) -> int:
    left: int = (await person.get(FACTORS)).json()["recovery_codes_left"]
    return left


async def test_codes_have_120_random_bits(app_user: Person) -> None:
    assert len({*app_user.codes}) == 10
    assert all(re.fullmatch(r"([A-Z2-7]{4}-){5}[A-Z2-7]{4}", code) for code in app_user.codes)


async def test_the_database_has_only_hashes(
    app_user: Person, session_factory: SessionFactory
) -> None:
    async with session_factory() as session:
        stored = [*await session.scalars(select(UserRecoveryCode.code_hash))]
    assert all(re.fullmatch("[0-9a-f]{64}", code_hash) for code_hash in stored)


async def test_only_the_first_factor_comes_with_codes(app_user: Person) -> None:
    assert (await app_user.add_passkey()).json()["recovery_codes"] is None
    assert await codes_left(app_user) == 10


@pytest.mark.parametrize("spell", [str, str.lower, lambda code: code.replace("-", " ")])
async def test_a_code_logs_in_once(app_user: Person, spell: Callable[[str], str]) -> None:
    code = spell(app_user.codes[0])
    for status in (200, 401):
        challenge = await app_user.start_login()
        response = await app_user.finish_login(challenge, method="recovery_code", code=code)
        assert response.status_code == status


async def test_the_owner_is_told_of_the_use_of_a_code(
    app_user: Person, read_mail: ReadMail
) -> None:
    await read_mail()
    await app_user.log_in("recovery_code")
    assert await codes_left(app_user) == 9
    mail = await read_mail()
    assert "recovery code" in mail.subject
    assert "Codes left: 9" in mail.text


async def test_a_login_with_a_code_may_replace_the_lost_factor(app_user: Person) -> None:
    await app_user.log_in("recovery_code")
    assert (await app_user.delete(f"{FACTORS}/totp")).status_code == 204


async def test_new_codes_invalidate_the_old_ones(app_user: Person) -> None:
    old = app_user.codes
    response = await app_user.post(f"{FACTORS}/recovery-codes")
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    new = response.json()["recovery_codes"]
    assert len({*new}) == 10
    assert {*new}.isdisjoint(old)
    for code, status in [(old[0], 401), (new[0], 200)]:
        challenge = await app_user.start_login()
        response = await app_user.finish_login(challenge, method="recovery_code", code=code)
        assert response.status_code == status


async def test_codes_of_another_account_are_rejected(
    app_user: Person, create_person: CreatePerson
) -> None:
    other = await create_person("bob@example.com")
    await other.add_app()
    challenge = await app_user.start_login()
    response = await app_user.finish_login(challenge, method="recovery_code", code=other.codes[0])
    assert response.status_code == 401
    assert await codes_left(other) == 10


async def test_codes_need_another_factor(person: Person) -> None:
    assert (await person.post(f"{FACTORS}/recovery-codes")).status_code == 409


async def test_codes_end_with_the_last_factor(
    app_user: Person, session_factory: SessionFactory
) -> None:
    await app_user.delete(f"{FACTORS}/totp")
    async with session_factory() as session:
        assert await session.scalar(select(func.count()).select_from(UserRecoveryCode)) == 0


async def test_a_login_offers_codes_only_while_some_are_left(app_user: Person) -> None:
    for _ in range(10):
        await app_user.log_in("recovery_code")
    assert (await app_user.enter_password()).json()["second_factors"] == ["totp"]


async def test_codes_that_are_left_over_are_no_factor(
    app_user: Person, session_factory: SessionFactory
) -> None:
    challenge = await app_user.start_login()
    async with session_factory.begin() as session:
        await session.execute(delete(UserTOTP))
    response = await app_user.finish_login(
        challenge, method="recovery_code", code=app_user.codes[0]
    )
    assert response.status_code == 401
