"""Throttling: waits that grow with the attempts for an account, or from an address.

Attempts are counted before they are made, and committed at once: parallel ones cannot outrun the
counter, and the rollback of a request that fails does not reset it.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import cast
from uuid import UUID

from sqlalchemy import Table, case, delete, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.core.auth.audit import audit
from app.core.database import Session, SessionFactory
from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.errors import AppError
from app.core.models import utc_now
from app.core.users.models import UserThrottle
from app.core.users.settings import UsersSettings, get_users_settings

TABLE = cast(Table, UserThrottle.__table__)
# Attempts to store a count, each after a conflict with a concurrent one.
TRIES = 10


class TooManyRequestsError(AppError):
    """An attempt that has to wait."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        super().__init__(f"Too many attempts; try again in {wait} s.")
        self.headers = {"Retry-After": str(wait)}


@dataclass(frozen=True)
class Limit:
    """Attempts that are free; the wait after each further one is twice as long as the last."""

    free: int
    first_wait: float
    max_wait: float
    # Seconds in which one attempt is forgotten.
    recovery: float

    def wait(self, attempts: float) -> timedelta:
        """Return the wait after this many attempts."""
        excess = math.ceil(attempts) - self.free
        if excess < 0:
            return timedelta()
        # 2.0 ** 1024 would overflow.
        return timedelta(seconds=min(self.max_wait, self.first_wait * 2.0 ** min(excess, 60)))

    def remaining(self, attempts: float, elapsed: timedelta) -> float:
        """Return the attempts that are still counted after some time."""
        return max(0, attempts - max(0, elapsed.total_seconds()) / self.recovery)


# Pages ask for a challenge in advance, to offer passkeys while an address is typed.
PASSKEY_CHALLENGES = Limit(free=200, first_wait=1, max_wait=60, recovery=3)


class Throttle:
    """Counts attempts in transactions of its own; call it before the request starts one."""

    def __init__(self, sessions: SessionFactory, address: str | None) -> None:
        self.sessions = sessions
        self.address = throttled_address(address)

    async def count_login(self, account: str) -> None:
        """Count an attempt to log in with a password. Raises TooManyRequestsError.

        `account` is an address, which may be unknown.
        """
        await self._count(login_limits(get_users_settings(), account, self.address), "login")

    async def count_mail(self, email: str) -> None:
        """Count a request for a mail to an address. Raises TooManyRequestsError."""
        await self._count(mail_limits(get_users_settings(), email, self.address), "mail")

    async def count_provider_login(self) -> None:
        """Count a login with a provider that is started. Raises TooManyRequestsError."""
        limits = provider_login_limits(get_users_settings(), self.address)
        await self._count(limits, "provider login")

    async def count_second_factor(self, user_id: UUID) -> None:
        """Count an attempt to guess a code of an account. Raises TooManyRequestsError."""
        await self._count(factor_limits(get_users_settings(), user_id), "second factor")

    async def forgive_second_factor(self, session: Session, user_id: UUID) -> None:
        """Forget the attempts to guess a code after a right one, in its transaction."""
        for key in factor_limits(get_users_settings(), user_id):
            await session.execute(delete(TABLE).where(TABLE.c.key_hash == key_hash(key)))

    async def count_passkey_challenge(self) -> None:
        """Count a request for a challenge, each of which is a row. Raises TooManyRequestsError."""
        limits = {f"passkey from {self.address}": PASSKEY_CHALLENGES}
        await self._count(limits, "passkey challenge")

    async def forgive_login(self, session: Session, account: str) -> None:
        """Forget the attempts of an account after a login, in the login's transaction.

        Of those from the address, only this one: whoever has an account could go on guessing.
        """
        await self.forget_login(session, account)
        _, of_address = login_limits(get_users_settings(), account, self.address)
        fewer = case((TABLE.c.attempts > 1, TABLE.c.attempts - 1), else_=0.0)
        is_of_address = TABLE.c.key_hash == key_hash(of_address)
        values = {"attempts": fewer, "retry_at": utc_now()}
        await session.execute(update(TABLE).where(is_of_address).values(values))

    async def forget_login(self, session: Session, account: str) -> None:
        """Forget the attempts to log in to an account."""
        of_account, _ = login_limits(get_users_settings(), account, self.address)
        await session.execute(delete(TABLE).where(TABLE.c.key_hash == key_hash(of_account)))

    async def _count(self, limits: Mapping[str, Limit], kind: str) -> None:
        for _ in range(TRIES):
            try:
                async with self.sessions.begin() as session:
                    wait = await count_attempt(session, limits)
                break
            except DBAPIError as error:
                # Another request has just inserted a row, or locked two in another order.
                if not is_conflict(error):
                    raise
        else:
            raise TooManyRequestsError(1)
        if wait:
            audit("attempt throttled", kind=kind, seconds=wait, address=self.address)
            raise TooManyRequestsError(wait)


def login_limits(settings: UsersSettings, account: str, address: str) -> dict[str, Limit]:
    """Return the limits of logins with an account from an address, in this order."""
    by_account, by_address = settings.login_attempts, settings.login_attempts_by_address
    waits = settings.login_wait, settings.login_max_wait
    return {
        f"login as {account}": Limit(by_account, *waits, recovery=waits[1]),
        # Many people may share an address, so that it recovers faster.
        f"login from {address}": Limit(by_address, *waits, recovery=waits[1] / by_address),
    }


def factor_limits(settings: UsersSettings, user_id: UUID) -> dict[str, Limit]:
    """Return the limit of guesses of codes by whoever knows the password of an account.

    Not that of logins: strangers who guess passwords must not delay the owner's second step.
    """
    waits = settings.login_wait, settings.login_max_wait
    limit = Limit(settings.login_attempts, *waits, recovery=waits[1])
    return {f"second factor of {user_id}": limit}


def mail_limits(settings: UsersSettings, email: str, address: str) -> dict[str, Limit]:
    """Return the limits of mails to an address that were requested from a client address."""
    by_email, by_address = settings.mails, settings.mails_by_address
    waits = settings.mail_wait, settings.mail_max_wait
    return {
        f"mail to {email}": Limit(by_email, *waits, recovery=waits[1]),
        f"mail from {address}": Limit(by_address, *waits, recovery=waits[1] / by_address),
    }


def provider_login_limits(settings: UsersSettings, address: str) -> dict[str, Limit]:
    """Return the limit of logins with providers that are started from an address."""
    wait, by_address = settings.login_max_wait, settings.login_attempts_by_address
    return {f"provider login from {address}": Limit(by_address, 1, wait, wait / by_address)}


async def count_attempt(session: Session, limits: Mapping[str, Limit]) -> float:
    """Count an attempt, unless it has to wait; return the seconds to wait."""
    by_hash = {key_hash(key): limit for key, limit in limits.items()}
    # Not locked if missing: on MySQL, locks on gaps would block inserts of other keys.
    known = select(UserThrottle.key_hash).where(UserThrottle.key_hash.in_(by_hash))
    found = {*(await session.scalars(known))}
    rows = select(UserThrottle).where(UserThrottle.key_hash.in_(found))
    locked = rows.order_by(UserThrottle.key_hash).with_for_update()
    throttles = {row.key_hash: row for row in await session.scalars(locked)} if found else {}
    now = utc_now()
    latest = max((row.retry_at for row in throttles.values()), default=now)
    if latest > now:
        return (latest - now).total_seconds()
    for hashed, limit in sorted(by_hash.items(), key=lambda item: item[0]):
        if (row := throttles.get(hashed)) is None:
            row = UserThrottle(key_hash=hashed, attempts=0, updated_at=now)
            session.add(row)
        _count(row, limit, now)
    return 0


def _count(row: UserThrottle, limit: Limit, now: datetime) -> None:
    row.attempts = limit.remaining(row.attempts, now - row.updated_at) + 1
    row.retry_at = now + limit.wait(row.attempts)
    row.updated_at = now


def is_conflict(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or classify_error(error) is ErrorKind.RETRYABLE


def key_hash(key: str) -> str:
    """Return what is stored of a key: no addresses."""
    return hashlib.sha256(key.encode()).hexdigest()


def throttled_address(address: str | None) -> str:
    """Return what one client has of an address: of IPv6, a network of 64 bits."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        # Such as that of a Unix socket.
        return address or "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))


async def delete_expired_throttles(session: Session) -> None:
    """Delete rows whose attempts are forgotten."""
    day_ago = utc_now() - timedelta(days=1)
    await session.execute(delete(UserThrottle).where(UserThrottle.updated_at < day_ago))
