"""Changes of the caller's second factors, after a recent login with one, if there is one."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, false, not_, or_, select

from app.core.auth.audit import audit
from app.core.auth.principal import Principal
from app.core.database import Session
from app.core.errors import ConflictError, ErrorDetail, InvalidError, NotFoundError
from app.core.users import passkeys, webauthn_ceremonies
from app.core.users.accounts import lock_account
from app.core.users.authentication import invalid_credentials
from app.core.users.challenges import delete_challenges
from app.core.users.confirmation import LoginRequiredError, require_recent_login, session_id
from app.core.users.encryption import UndecryptableError
from app.core.users.factor_settings import get_factor_settings
from app.core.users.jobs import send_notice
from app.core.users.login import complete_login
from app.core.users.methods import PASSKEY, TOTP, has_second_factor
from app.core.users.models import UserAccount
from app.core.users.recovery_codes import delete_recovery_codes, replace_recovery_codes
from app.core.users.second_factors import list_methods
from app.core.users.sessions import SESSION, Device
from app.core.users.throttle import Throttle
from app.core.users.totp import confirm_totp, delete_totp, provisioning_uri, start_totp
from app.core.users.webauthn_ceremonies import CeremonyError, Options


@dataclass(frozen=True)
class Added:
    """The token that replaces the caller's, and the first recovery codes of the account."""

    token: str = field(repr=False)
    recovery_codes: list[str] | None = field(default=None, repr=False)


class WrongCodeError(InvalidError):
    """The code does not prove that the app has the secret."""

    def __init__(self) -> None:
        reason = "wrong, or the secret has expired"
        detail = ErrorDetail(location=["body", "code"], reason=reason)
        super().__init__(f"The code is {reason}; check the clock, or start again.", [detail])


class FactorChanges:
    """The caller's session is replaced by one that has proved the new factor.

    Their other sessions end, unless `keeps_sessions` is set.
    """

    def __init__(
        self,
        session: Session,
        principal: Principal,
        device: Device,
        *,
        keeps_sessions: bool = False,
    ) -> None:
        self.session = session
        self.principal = principal
        self.user_id = UUID(principal.id)
        self.device = device
        self.keeps_sessions = keeps_sessions

    async def start_totp(self, application: str) -> tuple[str, str]:
        """Return a new secret for an authenticator app, and the URI of its QR code."""
        account, methods = await self._authorize()
        if TOTP in methods:
            raise ConflictError("The account has an authenticator app; remove it first.")
        try:
            secret = await start_totp(self.session, account.id)
        except UndecryptableError:
            raise ConflictError("Authenticator apps are disabled: set USERS_SECRET_KEY.") from None
        return secret, provisioning_uri(secret, account.email, application)

    async def confirm_totp(self, throttle: Throttle, code: str) -> Added:
        """Activate the app whose code this is. Raises WrongCodeError, TooManyRequestsError."""
        session_id(self.principal)
        await throttle.count_second_factor(self.user_id)
        account, methods = await self._authorize()
        if TOTP in methods or not await confirm_totp(self.session, account.id, code):
            raise WrongCodeError
        await throttle.forgive_second_factor(self.session, account.id)
        return await self._complete(account, TOTP, methods, "An authenticator app")

    async def remove_totp(self) -> None:
        """Raises NotFoundError if there is no app."""
        account, methods = await self._authorize()
        if TOTP not in methods:
            raise NotFoundError("authenticator app of", account.id)
        await delete_totp(self.session, account.id)
        await self._removed(account, TOTP, "An authenticator app")

    async def start_passkey(self, application: str) -> Options:
        """Return the options with which a browser creates a passkey."""
        account, _ = await self._authorize()
        caller = session_id(self.principal)
        return await webauthn_ceremonies.start_adding(self.session, account, caller, application)

    async def add_passkey(self, credential: dict[str, Any], name: str) -> tuple[UUID, Added]:
        """Store the passkey that a browser has created, and return its id."""
        account, methods = await self._authorize()
        try:
            passkey = await webauthn_ceremonies.finish_adding(
                self.session, account.id, session_id(self.principal), credential, name
            )
        except CeremonyError as error:
            detail = ErrorDetail(location=["body", "credential"], reason=str(error))
            raise InvalidError("The passkey cannot be added.", [detail]) from None
        added = await self._complete(account, PASSKEY, methods, f"The passkey “{name}”")
        return passkey.id, added

    async def rename_passkey(self, passkey_id: UUID, name: str) -> None:
        """Raises NotFoundError."""
        session_id(self.principal)
        await passkeys.rename_passkey(self.session, self.user_id, passkey_id, name)

    async def remove_passkey(self, passkey_id: UUID) -> None:
        """Raises NotFoundError."""
        account, _ = await self._authorize()
        name = await passkeys.delete_passkey(self.session, account.id, passkey_id)
        await self._removed(account, PASSKEY, f"The passkey “{name}”")

    async def replace_recovery_codes(self) -> list[str]:
        """Return new recovery codes; the old ones become invalid."""
        account, methods = await self._authorize()
        if not methods:
            raise ConflictError("Add an authenticator app or a passkey first.")
        codes = await replace_recovery_codes(self.session, account.id)
        audit("recovery codes replaced", user_id=self.principal.id)
        await send_notice(self.session, account.email, "recovery_codes_replaced")
        return codes

    async def _authorize(self) -> tuple[UserAccount, list[str]]:
        """Return the caller's account, locked, and the names of its factors.

        Raises LoginRequiredError unless its recent login has proved one, if there is any.
        """
        require_recent_login(self.principal)
        account = await lock_account(self.session, self.user_id)
        # The session may have ended while this request waited for the lock.
        if account is None or not await self._session_exists():
            raise invalid_credentials()
        methods = await list_methods(self.session, account.id)
        if methods and not has_second_factor(self.principal.claims["methods"]):
            raise LoginRequiredError
        return account, methods

    async def _session_exists(self) -> bool:
        mine = exists().where(SESSION.c.id == session_id(self.principal))
        return bool(await self.session.scalar(select(mine)))

    async def _complete(
        self, account: UserAccount, method: str, before: list[str], factor: str
    ) -> Added:
        codes = None if before else await replace_recovery_codes(self.session, account.id)
        proved = dict.fromkeys([*self.principal.claims["methods"], method])
        await self._end_sessions(account, keeps_own=False)
        token = await complete_login(
            self.session,
            account,
            self.device,
            methods=[*proved],
            authenticated_at=self.principal.claims["authenticated_at"],
        )
        audit("second factor added", user_id=self.principal.id, method=method)
        await send_notice(self.session, account.email, "second_factor_added", factor=factor)
        return Added(token, codes)

    async def _removed(self, account: UserAccount, method: str, factor: str) -> None:
        if not await list_methods(self.session, account.id):
            if get_factor_settings().second_factor == "required":
                raise ConflictError("A second factor is required; add another one first.")
            await delete_recovery_codes(self.session, account.id)
        await self._end_sessions(account, keeps_own=True)
        audit("second factor removed", user_id=self.principal.id, method=method)
        await send_notice(self.session, account.email, "second_factor_removed", factor=factor)

    async def _end_sessions(self, account: UserAccount, *, keeps_own: bool) -> None:
        """End the other sessions, unless they are kept, and the caller's, if it is replaced."""
        own = SESSION.c.id == session_id(self.principal)
        ended = false() if self.keeps_sessions else not_(own)
        if not keeps_own:
            ended = or_(ended, own)
        await self.session.execute(delete(SESSION).where(SESSION.c.user_id == account.id, ended))
        if not self.keeps_sessions:
            # Those that know only the password.
            await delete_challenges(self.session, account.id)
