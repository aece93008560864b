"""Guesses of second factors: counted before they are checked, so that parallel ones count, too."""

from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, Update, bindparam, select, update

from app.core.auth.errors import ForbiddenError
from app.core.database import Session
from app.core.errors import ErrorDetail, InvalidError
from app.core.models import utc_now
from app.core.users.accounts import TABLE as ACCOUNT
from app.core.users.factors.challenges import CHALLENGE
from app.core.users.factors.second_factors import LOGIN
from app.core.users.jobs import send_notice
from app.core.users.models import UserAccount
from app.core.users.throttling.throttle import Throttle
from app.core.users.tokens import hash_token

# Wrong answers after which the login has to start again with the password.
MAX_ATTEMPTS = 5
# Wrong codes in a row after which the account accepts none: whoever enters them knows the password.
# https://pages.nist.gov/800-63-4/sp800-63b.html#throttle
MAX_FAILURES = 100
# The numbers of wrong codes in a row after which the owner is notified.
NOTICES = {5, 20, MAX_FAILURES}

IS_VALID = (
    CHALLENGE.c.challenge_hash == bindparam("hashed"),
    CHALLENGE.c.purpose == LOGIN,
    CHALLENGE.c.expires_at > bindparam("now"),
    CHALLENGE.c.attempts < MAX_ATTEMPTS,
)
COUNT = update(CHALLENGE).where(*IS_VALID).values(attempts=CHALLENGE.c.attempts + 1)
FAILURES = select(ACCOUNT.c.code_failures).where(ACCOUNT.c.id == bindparam("wanted"))
# The number is in no representation of an account, whose version would have to change, too.
UNCHANGED = {"updated_at": ACCOUNT.c.updated_at}
COUNT_FAILURE = (
    update(ACCOUNT)
    .where(ACCOUNT.c.id == bindparam("wanted"), ACCOUNT.c.code_failures < MAX_FAILURES)
    .values(code_failures=ACCOUNT.c.code_failures + 1, **UNCHANGED)
)
FORGET_FAILURES = (
    update(ACCOUNT).where(ACCOUNT.c.id == bindparam("wanted")).values(code_failures=0, **UNCHANGED)
)


class ChallengeEndedError(InvalidError):
    """The login has to start again."""

    def __init__(self) -> None:
        reason = "invalid, expired or used"
        detail = ErrorDetail(location=["body", "challenge"], reason=reason)
        super().__init__(f"The challenge is {reason}; log in again.", [detail])


class CodesBlockedError(ForbiddenError):
    """Too many wrong codes in a row."""

    def __init__(self) -> None:
        super().__init__("Too many wrong codes: set a new password, or use a passkey.")


async def count_answer(throttle: Throttle, challenge: str) -> None:
    """Count an answer that nobody can guess. Raises ChallengeEndedError after too many."""
    async with throttle.sessions.begin() as session:
        await _count(session, challenge)


async def count_guess(throttle: Throttle, challenge: str, user_id: UUID) -> int:
    """Count a code as if it were wrong; return how many in a row have been wrong then.

    Raises ChallengeEndedError, CodesBlockedError and TooManyRequestsError.
    """
    await throttle.count_second_factor(user_id)
    wanted = {"wanted": user_id}
    async with throttle.sessions.begin() as session:
        # Locks the account first, as logins do.
        if await _count_rows(session, COUNT_FAILURE, wanted) != 1:
            raise CodesBlockedError
        await _count(session, challenge)
        return await session.scalar(FAILURES, wanted) or 0


async def forgive_guesses(session: Session, throttle: Throttle, account: UserAccount) -> None:
    """Forget wrong codes of an account, in the transaction of its login.

    Not wrong passwords: the first step may have been a login with a provider.
    """
    await throttle.forgive_second_factor(session, account.id)
    if account.code_failures:
        await session.execute(FORGET_FAILURES, {"wanted": account.id})


async def tell_owner(throttle: Throttle, user_id: UUID, failures: int) -> None:
    """Send a mail after some wrong codes in a row; no transaction may be open meanwhile."""
    if failures not in NOTICES:
        return
    async with throttle.sessions.begin() as session:
        if account := await session.get(UserAccount, user_id):
            await send_notice(session, account.email, "second_factor_failed")


async def _count(session: Session, challenge: str) -> None:
    if await _count_rows(session, COUNT, challenge_parameters(challenge)) != 1:
        raise ChallengeEndedError


async def _count_rows(session: Session, statement: Update, parameters: dict[str, Any]) -> int:
    result = await session.execute(statement, parameters)
    return cast(CursorResult[tuple[()]], result).rowcount


def challenge_parameters(challenge: str) -> dict[str, Any]:
    """Return the parameters of IS_VALID."""
    return {"hashed": hash_token(challenge), "now": utc_now()}
