"""Settings of second factors."""

import re
from functools import cache
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.core.settings import (
    CommaSeparated,
    EnvironmentSettings,
    SettingsError,
    read_settings,
)
from app.core.users.settings import get_users_settings

GENERATE_KEY = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)
# Of web pages, and of Android apps.
ORIGIN = re.compile(
    r"https://[^\s/?#@]+|http://localhost(:\d+)?|android:apk-key-hash:[A-Za-z0-9_-]{43}"
)

ORIGIN_OF_PAGES = re.compile("https?://")


def check_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Return keys; raises ValueError for one that is not 32 bytes in URL-safe Base64."""
    for key in keys:
        try:
            Fernet(key.get_secret_value())
        except ValueError:
            raise ValueError(f"invalid key; generate one: {GENERATE_KEY}") from None
    return keys


class HiddenKeys(tuple[SecretStr, ...]):
    """Keys in error messages, which contain the values of variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "…"


def split_keys(text: object) -> object:
    """Return the keys of a text, hidden."""
    if isinstance(text, str):
        return HiddenKeys(SecretStr(key.strip()) for key in text.split(",") if key.strip())
    return text


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Return origins; raises ValueError for what browsers do not send as an origin."""
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise ValueError(f"invalid origin '{origin}'; expected https://app.example.com")
    return origins


Keys = Annotated[
    tuple[SecretStr, ...], NoDecode, AfterValidator(check_keys), BeforeValidator(split_keys)
]


class SecondFactorSettings(EnvironmentSettings, env_prefix="USERS_"):
    """Second factors of accounts."""

    second_factor: Literal["optional", "required"] = "optional"
    """With `required`, an account without a second factor may do nothing but add one."""
    secret_key: Keys = ()
    """Keys that encrypt the secrets of authenticator apps, which need one; the first encrypts."""
    challenge_lifetime: int = Field(default=300, ge=30, le=600)
    """Seconds to answer a challenge: the second step of a login, or the use of a passkey."""
    passkey_rp_id: str | None = Field(default=None, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")
    """Domain of passkeys, by default the host of USERS_LINK_URL; a change invalidates them."""
    passkey_origins: Annotated[CommaSeparated, AfterValidator(check_origins)] = ()
    """Origins of pages that may use passkeys, by default that of USERS_LINK_URL."""


@cache
def get_factor_settings() -> SecondFactorSettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(SecondFactorSettings)


def check_passkey_settings() -> None:
    """Raise SettingsError if browsers would reject passkeys on some of the pages."""
    domain = passkey_domain()
    for origin in passkey_origins():
        host = urlsplit(origin).hostname or ""
        if ORIGIN_OF_PAGES.match(origin) and host != domain and not host.endswith(f".{domain}"):
            raise SettingsError(
                f"USERS_PASSKEY_RP_ID: '{domain}' is not the domain of {origin}, or a parent of it"
            )


def passkey_domain() -> str:
    """Return the relying party id of passkeys."""
    url = urlsplit(get_users_settings().link_url)
    return get_factor_settings().passkey_rp_id or url.hostname or ""


def passkey_origins() -> list[str]:
    """Return the origins whose pages may use passkeys."""
    return [*get_factor_settings().passkey_origins] or [_origin(get_users_settings().link_url)]


def _origin(url: str) -> str:
    """Return the origin of a URL as browsers send it: without the default port."""
    parts = urlsplit(url)
    is_default = (parts.scheme, parts.port) in {("https", 443), ("http", 80), (parts.scheme, None)}
    port = "" if is_default else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"
