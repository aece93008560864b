"""Guesses of second factors: counted before they are checked, so that parallel ones count, too."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update

from app.core.auth.errors import ForbiddenError
from app.core.database import Session
from app.core.errors import ErrorDetail, InvalidError
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.factors.second_factors import SECOND_STEP
from app.core.users.jobs import send_notice
from app.core.users.models import UserAccount
from app.core.users.tables import ACCOUNTS, CHALLENGES
from app.core.users.throttling.throttle import Throttle
from app.core.users.tokens import hash_token

# Wrong answers after which the login has to start again with the password.
MAX_ATTEMPTS = 5
# Consecutive wrong codes after which the account accepts none: entering them requires the password.
# https://pages.nist.gov/800-63-4/sp800-63b.html#throttle
MAX_FAILURES = 100
# The numbers of consecutive wrong codes after which the owner is notified.
NOTICES = {5, 20, MAX_FAILURES}

IS_VALID = (
    CHALLENGES.c.challenge_hash == bindparam("hashed"),
    CHALLENGES.c.purpose == SECOND_STEP,
    CHALLENGES.c.expires_at > bindparam("now"),
    CHALLENGES.c.attempts < MAX_ATTEMPTS,
)
COUNT = update(CHALLENGES).where(*IS_VALID).values(attempts=CHALLENGES.c.attempts + 1)
FAILURES = select(ACCOUNTS.c.code_failures).where(ACCOUNTS.c.id == bindparam("wanted"))
# The number is in no representation of an account, whose version would have to change, too.
UNCHANGED = {"updated_at": ACCOUNTS.c.updated_at}
COUNT_FAILURE = (
    update(ACCOUNTS)
    .where(ACCOUNTS.c.id == bindparam("wanted"), ACCOUNTS.c.code_failures < MAX_FAILURES)
    .values(code_failures=ACCOUNTS.c.code_failures + 1, **UNCHANGED)
)
FORGET_FAILURES = (
    update(ACCOUNTS)
    .where(ACCOUNTS.c.id == bindparam("wanted"))
    .values(code_failures=0, **UNCHANGED)
)


class ChallengeEndedError(InvalidError):
    """The login has to start again."""

    def __init__(self) -> None:
        reason = "invalid, expired or used"
        detail = ErrorDetail(location=["body", "challenge"], reason=reason)
        super().__init__(f"The challenge is {reason}; log in again.", [detail])


class CodesBlockedError(ForbiddenError):
    """Too many consecutive wrong codes."""

    def __init__(self) -> None:
        super().__init__("Too many wrong codes: set a new password, or use a passkey.")


async def count_answer(throttle: Throttle, challenge: str) -> None:
    """Count an answer that nobody can guess. Raises ChallengeEndedError after too many."""
    async with throttle.sessions.begin() as session:
        await _count(session, challenge)


async def count_guess(throttle: Throttle, challenge: str, user_id: UUID) -> int:
    """Count a code as if it were wrong; return the number of consecutive wrong codes.

    Raises ChallengeEndedError, CodesBlockedError and TooManyRequestsError.
    """
    await throttle.count_second_factor(user_id)
    wanted = {"wanted": user_id}
    async with throttle.sessions.begin() as session:
        # Locks the account first, as logins do.
        if await affected_rows(session, COUNT_FAILURE, wanted) != 1:
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


async def notify_owner(throttle: Throttle, user_id: UUID, failures: int) -> None:
    """Send a mail after some consecutive wrong codes; no transaction may be open meanwhile."""
    if failures not in NOTICES:
        return
    async with throttle.sessions.begin() as session:
        if account := await session.get(UserAccount, user_id):
            await send_notice(session, account.email, "second_factor_failed")


async def _count(session: Session, challenge: str) -> None:
    if await affected_rows(session, COUNT, challenge_parameters(challenge)) != 1:
        raise ChallengeEndedError


def challenge_parameters(challenge: str) -> dict[str, Any]:
    """Return the parameters of IS_VALID."""
    return {"hashed": hash_token(challenge), "now": utc_now()}
