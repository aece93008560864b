"""Throttling: waits that grow with the attempts for an account, or from an address.

Attempts are counted before they are made, and committed at once: parallel ones cannot outrun the
counter, and the rollback of a request that fails does not reset it.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError, IntegrityError

from app.core.auth.audit import audit
from app.core.database import Session, SessionFactory
from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.errors import AppError
from app.core.users.settings import get_users_settings
from app.core.users.throttling.counts import (
    ALL,
    count_attempt,
    forgive,
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

ResultT = TypeVar("ResultT")

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

        async def count(session: Session) -> float:
            return await count_attempt(session, await self._login_limits(session, account))

        self._check(await self._commit(count), "login")

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
        await forgive(session, {of_account: ALL})

    async def count_passkey_challenge(self) -> None:
        """Count a request for a challenge, each of which is a row. Raises TooManyRequestsError."""
        limits = {f"passkey from {self.address}": PASSKEY_CHALLENGES}
        await self._count(limits, "passkey challenge")

    async def forgive_login(self, account: str) -> None:
        """Forget the attempts of an account after a right password that `count_login` counted.

        Of those from the address, only this one: the owner of any account could go on guessing.
        Committed at once: nobody who shares the address waits for the login itself, and the
        password was right even if that fails.
        """

        async def forgive_attempts(session: Session) -> None:
            of_account, of_address = await self._login_limits(session, account)
            await forgive(session, {of_account: ALL, of_address: 1})

        await self._commit(forgive_attempts)

    async def forget_login(self, session: Session, account: str) -> None:
        """Forget the attempts to log in to an account, and trust the address of the client.

        In the transaction that sets a new password. An attacker who goes on guessing could take
        each attempt that becomes free. A job deletes the count a day after its last attempt, which
        ends the trust.
        """
        of_account, _ = login_limits(get_users_settings(), account, self.address)
        await forgive(session, {of_account: ALL})
        await start_count(session, trusted_login(account, self.address))

    async def _login_limits(self, session: Session, account: str) -> dict[str, Limit]:
        is_trusted = await has_count(session, trusted_login(account, self.address))
        return login_limits(get_users_settings(), account, self.address, is_trusted=is_trusted)

    async def _count(self, limits: Mapping[str, Limit], kind: str) -> None:
        self._check(await self._commit(lambda session: count_attempt(session, limits)), kind)

    def _check(self, wait: float, kind: str) -> None:
        """Raise TooManyRequestsError if there are seconds to wait."""
        if wait:
            audit("attempt throttled", kind=kind, seconds=wait, address=self.address)
            raise TooManyRequestsError(wait)

    async def _commit(self, change: Callable[[Session], Awaitable[ResultT]]) -> ResultT:
        """Change counts in a transaction; raises TooManyRequestsError after too many conflicts."""
        for _ in range(TRIES):
            try:
                async with self.sessions.begin() as session:
                    return await change(session)
            except DBAPIError as error:
                # Such as with a request that has just inserted the same row.
                if not is_conflict(error):
                    raise
        raise TooManyRequestsError(1)


def is_conflict(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or classify_error(error) is ErrorKind.RETRYABLE
