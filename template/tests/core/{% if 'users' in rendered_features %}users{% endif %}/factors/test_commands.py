"""Commands of app.manage_users for second factors."""

import base64
from argparse import Namespace

import pytest
from sqlalchemy import select, update

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.users.factors.encryption import decrypt
from app.core.users.models import UserAccount, UserTOTP
from app.manage_users import encrypt_secrets, reset_factors
from tests.core.users.conftest import ADA, AUTH, ReadMail
from tests.core.users.factors.conftest import Person, SetVariables

OLD, NEW = (base64.urlsafe_b64encode(byte * 32).decode() for byte in (b"o", b"n"))


async def test_factors_are_reset(
    app_user: Person, session_factory: SessionFactory, read_mail: ReadMail
) -> None:
    await app_user.add_passkey()
    async with session_factory.begin() as session:
        assert "removed" in await reset_factors(session, Namespace(email=ADA))
    assert (await app_user.get(f"{AUTH}/me")).status_code == 401
    await app_user.log_in()


@pytest.mark.parametrize("email", [ADA, "bob@example.com"])
async def test_only_active_accounts_are_reset(
    app_user: Person, session_factory: SessionFactory, email: str
) -> None:
    async with session_factory.begin() as session:
        await session.execute(update(UserAccount).values(deactivated_at=utc_now()))
        with pytest.raises(SystemExit, match="no such account"):
            await reset_factors(session, Namespace(email=email))


async def test_secrets_are_encrypted_with_the_first_key(
    person: Person, session_factory: SessionFactory, set_factors: SetVariables
) -> None:
    set_factors(secret_key=OLD)
    await person.add_app()
    set_factors(secret_key=f"{NEW},{OLD}")
    async with session_factory.begin() as session:
        assert (await encrypt_secrets(session, Namespace())).endswith(": 1")
    set_factors(secret_key=NEW)
    async with session_factory() as session:
        encrypted = (await session.scalars(select(UserTOTP.encrypted_secret))).one()
    assert decrypt(encrypted) == person.secret
    await person.log_in("totp")


async def test_a_missing_key_changes_nothing(
    person: Person, session_factory: SessionFactory, set_factors: SetVariables
) -> None:
    set_factors(secret_key=OLD)
    await person.add_app()
    set_factors(secret_key=NEW)
    async with session_factory.begin() as session:
        with pytest.raises(SystemExit, match="nothing was changed"):
            await encrypt_secrets(session, Namespace())


async def test_secrets_are_not_encrypted_without_a_key(
    session_factory: SessionFactory,
    set_factors: SetVariables,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_factors(secret_key="")
    async with session_factory.begin() as session:
        with pytest.raises(SystemExit) as error:
            await encrypt_secrets(session, Namespace())
    assert error.value.code == 2
    assert capsys.readouterr().err.startswith("USERS_SECRET_KEY: missing")
