"""Login with a passkey alone; it has verified its user, which makes two factors."""

from collections.abc import Set

from app.core.auth.audit import audit
from app.core.auth.errors import UnauthorizedError
from app.core.database import Session
from app.core.users.accounts import lock_account
from app.core.users.factors.webauthn_ceremonies import (
    PASSKEY_LOGIN,
    CeremonyError,
    Options,
    finish_asserting,
    start_asserting,
)
from app.core.users.login import complete_login
from app.core.users.methods import PASSKEY
from app.core.users.sessions import Device
from app.core.users.throttling.throttle import Throttle


class WrongPasskeyError(UnauthorizedError):
    """The passkey is not accepted; the audit log has the reason."""

    def __init__(self) -> None:
        super().__init__("The passkey is not accepted; log in with another method.")


class PasskeyLogin:
    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def start(self) -> Options:
        """Return the options with which a browser asks for any passkey of this application.

        Raises TooManyRequestsError.
        """
        await self.throttle.count_passkey_challenge()
        return await start_asserting(self.session, PASSKEY_LOGIN)

    async def finish(
        self, credential: Options, device: Device, replaces: Set[str] = frozenset()
    ) -> str:
        """Complete a login and return the token of its session; raises WrongPasskeyError."""
        try:
            user_id = await finish_asserting(self.session, PASSKEY_LOGIN, credential)
        except CeremonyError as error:
            audit("login failed", method=PASSKEY, reason=str(error), address=device.address)
            raise WrongPasskeyError from None
        account = await lock_account(self.session, user_id)
        if account is None:
            audit("login failed", method=PASSKEY, user_id=str(user_id), address=device.address)
            raise WrongPasskeyError
        return await complete_login(
            self.session, account, device, methods=[PASSKEY], replaces=replaces
        )
