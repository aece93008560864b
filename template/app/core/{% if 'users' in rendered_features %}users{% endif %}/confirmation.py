"""Sensitive changes need more than a session that may be stolen or left open."""

from datetime import timedelta
from uuid import UUID

from app.core.auth.audit import audit
from app.core.auth.errors import ForbiddenError
from app.core.auth.principal import Principal
from app.core.database import StoredRow
from app.core.models import utc_now
from app.core.users.methods import has_second_factor
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.settings import get_users_settings
from app.core.users.throttling.throttle import Throttle


class LoginRequiredError(ForbiddenError):
    """The caller has to log in again, or to send the current password where that is possible."""

    def __init__(self) -> None:
        super().__init__("Log in again: this operation needs a recent login.")
        seconds = get_users_settings().recent_login
        # The error code of https://www.rfc-editor.org/rfc/rfc9470 with its parameter.
        error = "insufficient_user_authentication"
        self.headers = {"WWW-Authenticate": f'Bearer error="{error}", max_age="{seconds}"'}


class WrongPasswordError(ForbiddenError):
    """The current password is wrong; not a 401, as the session goes on."""

    def __init__(self) -> None:
        super().__init__("The current password is wrong.")


def session_id(principal: Principal) -> UUID:
    """Return the caller's session. Raises ForbiddenError for a caller without one."""
    found = principal.claims.get("session_id")
    if not isinstance(found, UUID):
        raise ForbiddenError("This operation needs a session; log in with a password.")
    return found


def require_recent_login(principal: Principal) -> None:
    """Raise LoginRequiredError unless the caller's session has started recently."""
    session_id(principal)
    limit = timedelta(seconds=get_users_settings().recent_login)
    if utc_now() - principal.claims["authenticated_at"] > limit:
        raise LoginRequiredError


async def require_password(throttle: Throttle, account: StoredRow, password: str) -> None:
    """Raise WrongPasswordError unless the password is that of the account.

    Counted as a login, in a transaction of its own: call it before that of the request starts.
    """
    get_password_hasher().reject_overload()
    await throttle.count_login(account.email)
    is_right, _ = await get_password_hasher().verify(password, account.password_hash)
    if not is_right:
        audit("wrong current password", user_id=str(account.id))
        raise WrongPasswordError


async def confirm(
    throttle: Throttle, principal: Principal, account: StoredRow, password: str | None
) -> None:
    """Require the current password or, without one, a recent login, from a sensitive change.

    After a login with a second factor, a password alone is less, and the login has to be recent.

    Call it before the transaction of the request starts. Raises WrongPasswordError,
    LoginRequiredError, TooManyRequestsError and, for a caller without a session, ForbiddenError.
    """
    session_id(principal)
    if password is None or has_second_factor(principal.claims["methods"]):
        require_recent_login(principal)
    if password is not None:
        await require_password(throttle, account, password)
