"""The second step of a login: a second factor answers the challenge of the first step."""

from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, Update, bindparam, select, update

from app.core.auth.audit import audit
from app.core.auth.errors import ForbiddenError, UnauthorizedError
from app.core.database import Session, StoredRow, read_rows
from app.core.errors import ErrorDetail, InvalidError
from app.core.models import utc_now
from app.core.users.accounts import lock_account
from app.core.users.challenges import CHALLENGE, use_challenge
from app.core.users.jobs import send_notice
from app.core.users.login import complete_login
from app.core.users.methods import PASSKEY, RECOVERY_CODE
from app.core.users.models import UserAccount
from app.core.users.recovery_codes import count_recovery_codes
from app.core.users.second_factors import LOGIN, Answer, list_methods, verify_factor
from app.core.users.sessions import ACCOUNT, Device
from app.core.users.throttle import Throttle
from app.core.users.tokens import hash_token
from app.core.users.webauthn_ceremonies import SECOND_FACTOR, Options, start_asserting

# Wrong answers after which the login has to start again with the password.
MAX_ATTEMPTS = 5
# Wrong codes in a row after which the account accepts none: whoever enters them knows the password.
# https://pages.nist.gov/800-63-4/sp800-63b.html#throttle
MAX_FAILURES = 100
# The numbers of wrong codes of which the owner is told.
NOTICES = {5, 20, MAX_FAILURES}

IS_VALID = (
    CHALLENGE.c.challenge_hash == bindparam("hashed"),
    CHALLENGE.c.purpose == LOGIN,
    CHALLENGE.c.expires_at > bindparam("now"),
    CHALLENGE.c.attempts < MAX_ATTEMPTS,
)
FIND = select(CHALLENGE.c.user_id, CHALLENGE.c.methods, CHALLENGE.c.attempts).where(*IS_VALID)
COUNT = update(CHALLENGE).where(*IS_VALID).values(attempts=CHALLENGE.c.attempts + 1)
FAILURES = select(ACCOUNT.c.code_failures).where(ACCOUNT.c.id == bindparam("wanted"))
COUNT_FAILURE = (
    update(ACCOUNT)
    .where(ACCOUNT.c.id == bindparam("wanted"), ACCOUNT.c.code_failures < MAX_FAILURES)
    .values(code_failures=ACCOUNT.c.code_failures + 1)
)


class ChallengeEndedError(InvalidError):
    """The login has to start again."""

    def __init__(self) -> None:
        reason = "invalid, expired or used"
        detail = ErrorDetail(location=["body", "challenge"], reason=reason)
        super().__init__(f"The challenge is {reason}; log in again.", [detail])


class WrongFactorError(UnauthorizedError):
    """The second factor is wrong; another answer to the challenge may be right."""

    def __init__(self) -> None:
        super().__init__("The second factor is wrong, or was used before.")


class CodesBlockedError(ForbiddenError):
    """Too many wrong codes in a row."""

    def __init__(self) -> None:
        super().__init__("Too many wrong codes: set a new password, or use a passkey.")


class SecondStep:
    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def start_passkey(self, challenge: str) -> Options:
        """Return the options with which a browser asks for a passkey of the account.

        Raises ChallengeEndedError.
        """
        login = await self._find(challenge)
        if PASSKEY not in await list_methods(self.session, login.user_id):
            raise InvalidError("The account has no passkey; use another method.")
        return await start_asserting(self.session, SECOND_FACTOR, login.user_id)

    async def finish(
        self, challenge: str, answer: Answer, device: Device, replaces: str | None = None
    ) -> str:
        """Complete a login and return the token of its session.

        Raises ChallengeEndedError, WrongFactorError, CodesBlockedError and TooManyRequestsError.
        """
        login = await self._find(challenge)
        failures = await self._count_attempt(challenge, login.user_id, answer)
        account = await lock_account(self.session, login.user_id)
        if account is None or not await verify_factor(self.session, account.id, answer):
            await self._fail(login.user_id, answer, failures)
            raise WrongFactorError
        # Of parallel answers, one wins.
        if not await use_challenge(self.session, challenge, LOGIN, account.id):
            raise ChallengeEndedError
        await self._succeed(account, answer)
        methods = [*login.methods.split(), answer.method]
        return await complete_login(
            self.session, account, device, methods=methods, replaces=replaces
        )

    async def _find(self, challenge: str) -> StoredRow:
        # Not by the session of the request, whose transaction must start after the counts.
        async with self.throttle.sessions() as session:
            rows = await read_rows(session, FIND, _parameters(challenge))
        if not rows:
            raise ChallengeEndedError
        return rows[0]

    async def _count_attempt(self, challenge: str, user_id: UUID, answer: Answer) -> int:
        """Count an answer before it is checked, so that parallel ones cannot outrun the limits.

        Returns the number of wrong codes in a row, including this one, if it is wrong.
        """
        # Nobody can guess the signature of a passkey, so that its user never has to wait.
        is_code = answer.method != PASSKEY
        if is_code:
            await self.throttle.count_second_factor(user_id)
        wanted = {"wanted": user_id}
        async with self.throttle.sessions.begin() as session:
            # Locks the account first, as logins do.
            if is_code and await count_rows(session, COUNT_FAILURE, wanted) != 1:
                raise CodesBlockedError
            if await count_rows(session, COUNT, _parameters(challenge)) != 1:
                raise ChallengeEndedError
            return await session.scalar(FAILURES, wanted) or 0 if is_code else 0

    async def _fail(self, user_id: UUID, answer: Answer, failures: int) -> None:
        audit("second factor failed", user_id=str(user_id), method=answer.method)
        if failures not in NOTICES:
            return
        # The rollback releases the connection, and the mail must not be rolled back.
        await self.session.rollback()
        async with self.throttle.sessions.begin() as session:
            if account := await session.get(UserAccount, user_id):
                await send_notice(session, account.email, "second_factor_failed")

    async def _succeed(self, account: UserAccount, answer: Answer) -> None:
        await self.throttle.forgive_login(self.session, account.email)
        await self.throttle.forgive_second_factor(self.session, account.id)
        forget = update(ACCOUNT).where(ACCOUNT.c.id == account.id).values(code_failures=0)
        await self.session.execute(forget)
        if answer.method == RECOVERY_CODE:
            left = await count_recovery_codes(self.session, account.id)
            audit("recovery code used", user_id=str(account.id), left=left)
            await send_notice(self.session, account.email, "recovery_code_used", left=str(left))


async def count_rows(session: Session, statement: Update, parameters: dict[str, Any]) -> int:
    """Execute a statement, and return how many rows it has changed."""
    result = await session.execute(statement, parameters)
    return cast(CursorResult[tuple[()]], result).rowcount


def _parameters(challenge: str) -> dict[str, Any]:
    return {"hashed": hash_token(challenge), "now": utc_now()}
