"""Throttling: waits that grow with the attempts for an account, or from an address.

Attempts are counted before they are made, and committed at once: parallel ones cannot outrun the
counter, and the rollback of a request that fails does not reset it.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from uuid import UUID

from sqlalchemy.exc import DBAPIError, IntegrityError

from app.core.auth.audit import audit
from app.core.database import Session, SessionFactory
from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.errors import AppError
from app.core.users.settings import get_users_settings
from app.core.users.throttling.counts import (
    count_attempt,
    forget,
    forget_one,
    has_count,
    start_count,
)
from app.core.users.throttling.limits import (
    PASSKEY_CHALLENGES,
    Limit,
    factor_limits,
    login_limits,
    mail_limits,
    provider_login_limits,
    throttled_address,
    trusted_login,
)

# Attempts to store a count, each after a conflict with a concurrent one.
TRIES = 10


class TooManyRequestsError(AppError):
    """An attempt that has to wait."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        super().__init__(f"Too many attempts; try again in {wait} s.")
        self.headers = {"Retry-After": str(wait)}


class Throttle:
    """Counts attempts in transactions of its own; call it before the request starts one."""

    def __init__(self, sessions: SessionFactory, address: str | None) -> None:
        self.sessions = sessions
        self.address = throttled_address(address)

    async def count_login(self, account: str) -> None:
        """Count an attempt to log in with a password. Raises TooManyRequestsError.

        `account` is an address, which may be unknown.
        """
        async with self.sessions() as session:
            limits = await self._login_limits(session, account)
        await self._count(limits, "login")

    async def count_mail(self, purpose: str, email: str) -> None:
        """Count a request for a mail to an address. Raises TooManyRequestsError."""
        limits = mail_limits(get_users_settings(), purpose, email, self.address)
        await self._count(limits, "mail")

    async def count_provider_login(self) -> None:
        """Count a login with a provider that is started. Raises TooManyRequestsError."""
        limits = provider_login_limits(get_users_settings(), self.address)
        await self._count(limits, "provider login")

    async def count_second_factor(self, user_id: UUID) -> None:
        """Count an attempt to guess a code of an account. Raises TooManyRequestsError."""
        await self._count(factor_limits(get_users_settings(), user_id), "second factor")

    async def forgive_second_factor(self, session: Session, user_id: UUID) -> None:
        """Forget the attempts to guess a code after a right one, in its transaction."""
        [of_account] = factor_limits(get_users_settings(), user_id)
        await forget(session, of_account)

    async def count_passkey_challenge(self) -> None:
        """Count a request for a challenge, each of which is a row. Raises TooManyRequestsError."""
        limits = {f"passkey from {self.address}": PASSKEY_CHALLENGES}
        await self._count(limits, "passkey challenge")

    async def forgive_login(self, session: Session, account: str) -> None:
        """Forget the attempts of an account after a login, in the login's transaction.

        Of those from the address, only this one: whoever has an account could go on guessing.
        """
        of_account, of_address = await self._login_limits(session, account)
        await forget(session, of_account)
        await forget_one(session, of_address)

    async def forget_login(self, session: Session, account: str) -> None:
        """Forget the attempts to log in to an account, and trust the address of the client.

        Whoever goes on guessing could otherwise take each attempt that becomes free. A job deletes
        the count a day after its last attempt, which ends the trust.
        """
        of_account, _ = login_limits(get_users_settings(), account, self.address)
        await forget(session, of_account)
        await start_count(session, trusted_login(account, self.address))

    async def _login_limits(self, session: Session, account: str) -> dict[str, Limit]:
        is_trusted = await has_count(session, trusted_login(account, self.address))
        return login_limits(get_users_settings(), account, self.address, is_trusted=is_trusted)

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


def is_conflict(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or classify_error(error) is ErrorKind.RETRYABLE
