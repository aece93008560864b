"""Settings of second factors, and keys that rotate."""

import base64
import re

import pytest
from sqlalchemy import select

from app.core.database import SessionFactory
from app.core.settings import SettingsError
from app.core.users.factors.encryption import MissingKeyError, UndecryptableError, decrypt, encrypt
from app.core.users.factors.settings import (
    check_passkey_settings,
    get_factor_settings,
    passkey_domain,
    passkey_origins,
)
from app.core.users.models import UserTOTP
from tests.core.users.conftest import Configure
from tests.core.users.factors.conftest import Person, SetVariables

OLD, NEW = (base64.urlsafe_b64encode(byte * 32).decode() for byte in (b"o", b"n"))


def test_the_first_key_encrypts_and_all_decrypt(set_factors: SetVariables) -> None:
    set_factors(secret_key=OLD)
    encrypted = encrypt("secret")
    set_factors(secret_key=f"{NEW}, {OLD}")
    assert decrypt(encrypted) == "secret"
    again = encrypt("secret")
    set_factors(secret_key=NEW)
    assert decrypt(again) == "secret"
    with pytest.raises(UndecryptableError):
        decrypt(encrypted)
    set_factors(secret_key="")
    with pytest.raises(UndecryptableError):
        decrypt(encrypted)
    with pytest.raises(MissingKeyError):
        encrypt("secret")


async def test_a_login_encrypts_the_secret_with_the_new_key(
    person: Person, set_factors: SetVariables, session_factory: SessionFactory
) -> None:
    set_factors(secret_key=OLD)
    await person.add_app()
    set_factors(secret_key=f"{NEW},{OLD}")
    await person.log_in("totp")
    set_factors(secret_key=NEW)
    async with session_factory() as session:
        encrypted = (await session.scalars(select(UserTOTP.encrypted_secret))).one()
    assert decrypt(encrypted) == person.secret


@pytest.mark.parametrize("key", ["short", "a" * 44, f"{NEW},short", NEW[:-2]])
def test_an_invalid_key_is_named_but_not_shown(set_factors: SetVariables, key: str) -> None:
    set_factors(secret_key=key)
    with pytest.raises(SettingsError, match=r"^USERS_SECRET_KEY=…: invalid key; ") as error:
        get_factor_settings()
    assert "Fernet.generate_key" in str(error.value)
    assert NEW not in str(error.value)
    assert "short" not in str(error.value)


def test_keys_are_not_shown(set_factors: SetVariables) -> None:
    set_factors(secret_key=NEW)
    assert NEW not in repr(get_factor_settings())


@pytest.mark.parametrize(
    "origin", ["app.example.com", "http://example.com", "https://example.com/path", "*", "null"]
)
def test_invalid_origins_are_rejected(set_factors: SetVariables, origin: str) -> None:
    set_factors(passkey_origins=origin)
    with pytest.raises(SettingsError, match=f"invalid origin '{re.escape(origin)}'"):
        get_factor_settings()


@pytest.mark.parametrize(
    ("url", "domain", "origin"),
    [
        ("https://app.example.com", "app.example.com", "https://app.example.com"),
        ("https://App.Example.com/base", "app.example.com", "https://app.example.com"),
        ("https://app.example.com:443", "app.example.com", "https://app.example.com"),
        ("https://app.example.com:8443", "app.example.com", "https://app.example.com:8443"),
        ("http://localhost:5173", "localhost", "http://localhost:5173"),
    ],
)
def test_passkeys_belong_to_the_web_application(
    configure: Configure, url: str, domain: str, origin: str
) -> None:
    configure(link_url=url)
    assert passkey_domain() == domain
    assert passkey_origins() == [origin]


@pytest.mark.parametrize(
    ("domain", "origins"),
    [
        ("example.com", ""),
        ("app.example.com", "https://app.example.com,https://admin.app.example.com"),
        ("example.com", f"https://www.example.com,android:apk-key-hash:{'A' * 43}"),
        ("localhost", "http://localhost:5173"),
    ],
)
def test_passkeys_may_have_a_parent_domain(
    set_factors: SetVariables, domain: str, origins: str
) -> None:
    set_factors(passkey_rp_id=domain, passkey_origins=origins)
    check_passkey_settings()


@pytest.mark.parametrize(
    ("domain", "origins"),
    [
        ("www.example.com", ""),
        ("ample.com", ""),
        ("example.com", "https://example.com.evil.com"),
        ("https://example.com", ""),
        ("Example.com", ""),
    ],
)
def test_domains_that_browsers_reject_are_errors(
    set_factors: SetVariables, domain: str, origins: str
) -> None:
    set_factors(passkey_rp_id=domain, passkey_origins=origins)
    with pytest.raises(SettingsError, match="USERS_PASSKEY_RP_ID"):
        check_passkey_settings()
