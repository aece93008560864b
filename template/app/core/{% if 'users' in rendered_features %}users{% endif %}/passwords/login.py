"""Login with a password."""

from collections.abc import Set
from dataclasses import dataclass, field

from app.core.auth.audit import audit
from app.core.auth.errors import UnauthorizedError
from app.core.database import Session
from app.core.users.accounts import find_by_email, lock_account
from app.core.users.factors.second_factors import list_methods, start_second_step
from app.core.users.login import complete_login
from app.core.users.methods import PASSWORD
from app.core.users.models import UserAccount
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.sessions import Device
from app.core.users.throttling.throttle import Throttle


@dataclass(frozen=True)
class LoginResult:
    """The token of a session, or a challenge that a second factor has to answer."""

    token: str | None = field(default=None, repr=False)
    challenge: str | None = field(default=None, repr=False)
    second_factors: list[str] = field(default_factory=list)


class WrongCredentialsError(UnauthorizedError):
    """The same for unknown addresses and wrong passwords, and for accounts that cannot log in."""

    def __init__(self) -> None:
        super().__init__("The email address or the password is wrong.")


class PasswordLogin:
    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def log_in(
        self, email: str, password: str, device: Device, replaces: Set[str] = frozenset()
    ) -> LoginResult:
        """Return what follows a right password; the sessions with the tokens `replaces` end.

        Raises WrongCredentialsError, and TooManyRequestsError after too many failures.
        """
        get_password_hasher().reject_overload()
        await self.throttle.count_login(email)
        account = await self._verify(email, password)
        factors = await list_methods(self.session, account.id)
        if factors:
            return await self._challenge(account, factors)
        token = await complete_login(
            self.session, account, device, methods=[PASSWORD], replaces=replaces
        )
        return LoginResult(token)

    async def _verify(self, email: str, password: str) -> UserAccount:
        row = await find_by_email(self.session, email)
        stored = row.password_hash if row else None
        # No connection is held meanwhile.
        is_right, new_hash = await get_password_hasher().verify(password, stored)
        account = None
        if row and is_right and row.deactivated_at is None:
            # Also before a second factor, whose guesses have a limit of their own.
            await self.throttle.forgive_login(email)
            account = await lock_account(self.session, row.id)
        # Read again with a lock: the password may have changed meanwhile.
        if account is None or account.password_hash != stored:
            # Not the address: people enter passwords into its field.
            audit("login failed", user_id=row and str(row.id), address=self.throttle.address)
            raise WrongCredentialsError
        if new_hash:
            account.password_hash = new_hash
        return account

    async def _challenge(self, account: UserAccount, factors: list[str]) -> LoginResult:
        challenge = await start_second_step(self.session, account, methods=[PASSWORD])
        return LoginResult(challenge=challenge, second_factors=factors)
