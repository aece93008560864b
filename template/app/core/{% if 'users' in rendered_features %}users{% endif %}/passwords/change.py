"""A new password for the caller."""

from app.core.auth.audit import audit_after_commit
from app.core.auth.errors import UnauthorizedError
from app.core.auth.principal import Principal
from app.core.database import Session
from app.core.errors import ErrorDetail, InvalidError
from app.core.users.account_locks import lock_own_account
from app.core.users.accounts import find_own
from app.core.users.caller_session import require_session
from app.core.users.confirmation import confirm
from app.core.users.jobs import send_notice
from app.core.users.login import complete_login
from app.core.users.methods import has_second_factor
from app.core.users.one_time_tokens import delete_tokens
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.passwords.rules import check_new_password
from app.core.users.sessions import Device, end_sessions
from app.core.users.throttling.throttle import Throttle


class CurrentPasswordMissingError(InvalidError):
    def __init__(self) -> None:
        reason = "required: the account has a password"
        detail = ErrorDetail(location=["body", "current_password"], reason=reason)
        super().__init__("The current password is missing.", [detail])


class AccountChangedError(UnauthorizedError):
    def __init__(self) -> None:
        super().__init__("The account has changed; log in again.", invalid_token=True)


class PasswordChange:
    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def change(
        self, principal: Principal, current: str | None, password: str, device: Device
    ) -> str:
        """Set a password and end all sessions; return the token of a new one.

        The current password is required even after a recent login, if there is one. Raises
        CurrentPasswordMissingError, WeakPasswordError, and what `confirm` and `lock_own_account`
        raise.
        """
        require_session(principal)
        row = await find_own(self.session, principal)
        if row.password_hash is not None and current is None:
            raise CurrentPasswordMissingError
        check_new_password(password, row.email)
        known = current if row.password_hash else None
        await confirm(self.session, self.throttle, principal, row, known)
        new_hash = await get_password_hasher().hash(password)
        account = await lock_own_account(self.session, principal)
        if account.password_hash != row.password_hash:
            raise AccountChangedError
        account.password_hash = new_hash
        account.code_failures = 0
        await end_sessions(self.session, account.id)
        await delete_tokens(self.session, account)
        await self.throttle.forget_login(self.session, account.email)
        await send_notice(self.session, account.email, "password_changed")
        audit_after_commit(self.session, "password changed", user_id=principal.id)
        methods = require_session(principal).methods
        # A password alone does not renew a login with two factors.
        proved_at = (
            require_session(principal).authenticated_at if has_second_factor(methods) else None
        )
        return await complete_login(
            self.session, account, device, methods=methods, authenticated_at=proved_at
        )
