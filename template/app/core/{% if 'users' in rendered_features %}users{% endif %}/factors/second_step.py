"""The second step of a login: a second factor answers the challenge of the first step."""

from collections.abc import Set

from sqlalchemy import select

from app.core.auth.audit import audit, audit_after_commit
from app.core.auth.errors import UnauthorizedError
from app.core.database import Session, StoredRow, read_rows
from app.core.errors import InvalidError
from app.core.users.accounts import lock_account
from app.core.users.factors.challenges import use_challenge
from app.core.users.factors.guesses import (
    IS_VALID,
    ChallengeEndedError,
    challenge_parameters,
    count_answer,
    count_guess,
    forgive_guesses,
    notify_owner,
)
from app.core.users.factors.recovery_codes import count_recovery_codes
from app.core.users.factors.second_factors import SECOND_STEP, Answer, verify_factor
from app.core.users.factors.webauthn_ceremonies import SECOND_FACTOR, Options, start_asserting
from app.core.users.jobs import send_notice
from app.core.users.login import complete_login
from app.core.users.methods import PASSKEY, RECOVERY_CODE
from app.core.users.models import UserAccount
from app.core.users.sessions import Device
from app.core.users.tables import CHALLENGES
from app.core.users.throttling.throttle import Throttle

FIND = select(CHALLENGES.c.user_id, CHALLENGES.c.methods, CHALLENGES.c.authenticated_at).where(
    *IS_VALID
)


class WrongFactorError(UnauthorizedError):
    """The second factor is wrong; another answer to the challenge may be right."""

    def __init__(self) -> None:
        super().__init__("The second factor is wrong, or was used before.")


class SecondStep:
    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def start_passkey(self, challenge: str) -> Options:
        """Return the options with which a browser asks for a passkey of the account.

        Raises ChallengeEndedError and TooManyRequestsError.
        """
        await self.throttle.count_passkey_challenge()
        login = await self._find(challenge)
        options = await start_asserting(self.session, SECOND_FACTOR, login.user_id)
        if not options["allowCredentials"]:
            raise InvalidError("The account has no passkey; use another method.")
        return options

    async def finish(
        self, challenge: str, answer: Answer, device: Device, replaces: Set[str] = frozenset()
    ) -> str:
        """Complete a login and return the token of its session.

        Raises WrongFactorError, and what `count_guess` raises.
        """
        login = await self._find(challenge)
        failures = 0
        # Nobody can guess the signature of a passkey, so that its user never has to wait.
        if answer.method == PASSKEY:
            await count_answer(self.throttle, challenge)
        else:
            failures = await count_guess(self.throttle, challenge, login.user_id)
        account = await lock_account(self.session, login.user_id)
        if account is None or not await verify_factor(self.session, account.id, answer):
            audit("second factor failed", user_id=str(login.user_id), method=answer.method)
            # The rollback releases the connection; the mail must not be rolled back.
            await self.session.rollback()
            await notify_owner(self.throttle, login.user_id, failures)
            raise WrongFactorError
        return await self._complete(login, challenge, account, answer, device, replaces)

    async def _complete(
        self,
        login: StoredRow,
        challenge: str,
        account: UserAccount,
        answer: Answer,
        device: Device,
        replaces: Set[str],
    ) -> str:
        # Of parallel answers, one wins.
        if not await use_challenge(self.session, challenge, SECOND_STEP, account.id):
            raise ChallengeEndedError
        await forgive_guesses(self.session, self.throttle, account)
        if answer.method == RECOVERY_CODE:
            left = await count_recovery_codes(self.session, account.id)
            audit_after_commit(
                self.session, "recovery code used", user_id=str(account.id), left=left
            )
            await send_notice(self.session, account.email, "recovery_code_used", left=str(left))
        return await complete_login(
            self.session,
            account,
            device,
            methods=[*login.methods.split(), answer.method],
            replaces=replaces,
            authenticated_at=login.authenticated_at,
        )

    async def _find(self, challenge: str) -> StoredRow:
        # Not by the session of the request, whose transaction must start after the counts.
        async with self.throttle.sessions() as session:
            rows = await read_rows(session, FIND, challenge_parameters(challenge))
        if not rows:
            raise ChallengeEndedError
        return rows[0]
