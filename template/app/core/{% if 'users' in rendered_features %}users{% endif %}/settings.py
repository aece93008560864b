"""Settings of accounts, sessions, passwords and throttling."""

import re
from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from app.core.settings import CommaSeparated, EnvironmentSettings, read_settings
from app.core.users.project_name import PROJECT_NAME

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LINK_URL = re.compile(
    r"(https://[^\s/?#@]+ | http://(localhost|127\.0\.0\.1)(:\d+)?) (/[^\s?#]*)?", re.VERBOSE
)


def check_link_url(url: str) -> str:
    """Return a URL without a slash at its end; raises ValueError if links cannot start with it."""
    if not LINK_URL.fullmatch(url):
        raise ValueError("invalid URL; expected https://app.example.com, or http://localhost:5173")
    return url.rstrip("/")


Lifetime = Annotated[int, Field(ge=MINUTE, le=366 * DAY)]
Wait = Annotated[int, Field(ge=1, le=HOUR)]
Count = Annotated[int, Field(ge=1)]


class UsersSettings(EnvironmentSettings, env_prefix="USERS_"):
    """Accounts, sessions and passwords; lifetimes and waits are in seconds."""

    link_url: Annotated[str, AfterValidator(check_link_url)]
    """URL of the web application that the links in mails open."""
    sign_up: bool = True
    """Whether anyone can create an account; otherwise administrators invite."""
    sign_up_roles: CommaSeparated = ()
    """Roles of accounts that were created by sign-up."""
    session_idle: Lifetime = 7 * DAY
    """Lifetime of a session that is not used."""
    session_lifetime: Lifetime = Field(default=30 * DAY, validate_default=True)
    """Lifetime of a session, however often it is used."""
    session_limit: Count = 50
    """Sessions of one account; beyond it, a login ends the one that was not used for longest."""
    recent_login: Lifetime = 10 * MINUTE
    """Time after a login in which sensitive changes need no password."""
    verification_lifetime: Lifetime = DAY
    """Lifetime of the links that verify addresses."""
    reset_lifetime: Lifetime = HOUR
    """Lifetime of the link that sets a new password."""
    invitation_lifetime: Lifetime = 7 * DAY
    """Lifetime of the link of an invitation."""
    password_min_length: int = Field(default=15, ge=10, le=64)
    """Minimum number of characters of a new password."""
    password_words: CommaSeparated = (PROJECT_NAME,)
    """Names that a password may not mainly consist of, such as those of your products."""
    argon2_memory_cost: int = Field(default=65536, ge=7168)
    """Memory for one password hash, in KiB."""
    argon2_time_cost: int = Field(default=3, ge=1)
    """Passes over the memory for one password hash."""
    argon2_parallelism: int = Field(default=1, ge=1, le=64)
    """Threads for one password hash."""
    hash_concurrency: Count = 2
    """Passwords that one process hashes at the same time; more than its cores is no faster."""
    hash_queue: int = Field(default=100, ge=0)
    """Passwords that wait to be hashed; beyond it, requests get a 503."""
    login_attempts: Count = 5
    """Failed logins of one account before waits begin."""
    login_attempts_by_address: Count = 50
    """Failed logins from one client address before waits begin."""
    login_wait: Wait = 1
    """Wait after that many failed logins; it doubles with each further one."""
    login_max_wait: Wait = 15 * MINUTE
    """Maximum wait before the next login; one attempt of an account is forgotten in this time."""
    mails: Count = 3
    """Mails that anyone can request for one address before waits begin."""
    mails_by_address: Count = 20
    """Mails that one client address can request before waits begin."""
    mail_wait: Wait = MINUTE
    """Wait after that many mails; it doubles with each further one."""
    mail_max_wait: Wait = 30 * MINUTE
    """Maximum wait before the next mail; one to an address is forgotten in this time."""

    @field_validator("session_lifetime")
    @classmethod
    def _check_idle_time(cls, lifetime: int, info: ValidationInfo) -> int:
        if lifetime < (idle := info.data.get("session_idle", 0)):
            raise ValueError(f"shorter than USERS_SESSION_IDLE, {idle} seconds; lower that, too")
        return lifetime


@cache
def get_users_settings() -> UsersSettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(UsersSettings)
