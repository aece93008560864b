"""Settings of accounts, sessions, passwords and throttling."""

import re
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field

from app.core.settings import EnvironmentSettings, read_settings

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LINK_URL = re.compile(r"https://[^\s/?#@]+[^\s?#]*|http://(localhost|127\.0\.0\.1)(:\d+)?[^\s?#]*")


def check_link_url(url: str) -> str:
    """Return a URL without a slash at its end; raises ValueError if links cannot start with it."""
    if not LINK_URL.fullmatch(url):
        raise ValueError("invalid URL; expected https://app.example.com, or http://localhost:5173")
    return url.rstrip("/")


Lifetime = Annotated[int, Field(ge=MINUTE, le=366 * DAY)]


class UsersSettings(EnvironmentSettings, env_prefix="USERS_"):
    """Accounts, sessions and passwords; lifetimes are in seconds."""

    link_url: Annotated[str, AfterValidator(check_link_url)]
    """URL of the web application that the links in mails open."""
    sign_up: bool = True
    """Whether anyone can create an account; otherwise administrators invite."""
    session_idle: Lifetime = 7 * DAY
    """Lifetime of a session that is not used."""
    session_lifetime: Lifetime = 30 * DAY
    """Lifetime of a session, however often it is used."""
    recent_login: Lifetime = 10 * MINUTE
    """Time after a login in which sensitive changes need no password."""
    verification_lifetime: Lifetime = DAY
    """Lifetime of the link that verifies an address."""
    reset_lifetime: Lifetime = HOUR
    """Lifetime of the link that sets a new password."""
    invitation_lifetime: Lifetime = 7 * DAY
    """Lifetime of the link of an invitation."""
    password_min_length: int = Field(default=15, ge=8, le=64)
    """Minimum number of characters of a password."""
    argon2_memory_cost: int = Field(default=65536, ge=7168)
    """Memory for one hash, in KiB."""
    argon2_time_cost: int = Field(default=3, ge=1)
    """Passes over the memory for one hash."""
    argon2_parallelism: int = Field(default=4, ge=1, le=64)
    """Threads for one hash."""
    hash_concurrency: int = Field(default=4, ge=1)
    """Passwords that one process hashes at the same time."""
    hash_queue: int = Field(default=100, ge=0)
    """Passwords that wait to be hashed, beyond which logins get a 503."""


@cache
def get_users_settings() -> UsersSettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(UsersSettings)
