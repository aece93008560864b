"""Secrets that are stored encrypted, with keys that the database does not have."""

from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.core.users.factors.settings import get_factor_settings


class MissingKeyError(Exception):
    """There is no key to encrypt a secret with."""

    def __init__(self) -> None:
        super().__init__("USERS_SECRET_KEY is not set")


class UndecryptableError(Exception):
    """None of the keys in USERS_SECRET_KEY decrypts a stored secret."""

    def __init__(self) -> None:
        super().__init__("USERS_SECRET_KEY lacks the key that a stored secret is encrypted with")


def encrypt(secret: str) -> str:
    """Return a secret encrypted with the first key; raises MissingKeyError without keys."""
    if (keys := _keys()) is None:
        raise MissingKeyError
    return keys.encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Return a secret that any of the keys decrypts; raises UndecryptableError."""
    if (keys := _keys()) is None:
        raise UndecryptableError
    try:
        return keys.decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise UndecryptableError from None


def _keys() -> MultiFernet | None:
    keys = get_factor_settings().secret_key
    return _load(tuple(key.get_secret_value() for key in keys)) if keys else None


@cache
def _load(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
