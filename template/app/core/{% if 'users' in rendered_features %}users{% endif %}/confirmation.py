"""Sensitive changes need more than a session that may be stolen or left open."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from app.core.auth.audit import audit
from app.core.auth.errors import ForbiddenError
from app.core.auth.principal import Principal
from app.core.database import Session, StoredRow
from app.core.models import utc_now
from app.core.users.caller_session import require_session
from app.core.users.factors.second_factors import list_methods
from app.core.users.methods import has_second_factor
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.settings import get_users_settings
from app.core.users.throttling.throttle import Throttle


class LoginRequiredError(ForbiddenError):
    """The caller has to log in again, or to send the current password where that is possible."""

    def __init__(self) -> None:
        super().__init__(
            "Log in again: this operation needs a recent login, with a second factor if the"
            " account has one."
        )
        seconds = get_users_settings().recent_login
        # The error code of https://www.rfc-editor.org/rfc/rfc9470 with its parameter.
        error = "insufficient_user_authentication"
        self.headers = {"WWW-Authenticate": f'Bearer error="{error}", max_age="{seconds}"'}


class WrongPasswordError(ForbiddenError):
    """The current password is wrong; not a 401, as the session goes on."""

    def __init__(self) -> None:
        super().__init__("The current password is wrong.")


async def require_recent_login(session: Session, principal: Principal) -> None:
    """Raise LoginRequiredError unless the caller has logged in recently, and completely.

    A session may be older than the second factor of its account: it has not proved it. Starts no
    transaction.
    """
    require_session(principal)
    check_recent_login(principal, await list_methods(session, UUID(principal.id)))


def check_recent_login(principal: Principal, factors: Collection[str] = ()) -> None:
    """Raise LoginRequiredError unless the caller has logged in recently.

    With the second factors of the account, as `list_methods` returns them, the login must have
    proved one.
    """
    limit = timedelta(seconds=get_users_settings().recent_login)
    is_old = utc_now() - require_session(principal).authenticated_at > limit
    if is_old or (factors and not has_second_factor(require_session(principal).methods)):
        raise LoginRequiredError


async def require_password(throttle: Throttle, account: StoredRow, password: str) -> None:
    """Raise WrongPasswordError unless the password is that of the account.

    Counted as a login with it, and forgiven if it is right, in transactions of their own: call it
    before that of the request starts.
    """
    get_password_hasher().reject_overload()
    await throttle.count_login(account.email)
    is_right, _ = await get_password_hasher().verify(password, account.password_hash)
    if not is_right:
        audit("wrong current password", user_id=str(account.id))
        raise WrongPasswordError
    await throttle.forgive_login(account.email)


async def confirm(
    session: Session,
    throttle: Throttle,
    principal: Principal,
    account: StoredRow,
    password: str | None,
) -> None:
    """Require the current password or, without one, a recent login, from a sensitive change.

    If the account has a second factor, or the session has proved one, a password alone is less:
    the login has to be recent, as `require_recent_login` requires.

    Call it before the transaction of the request starts. Raises WrongPasswordError,
    LoginRequiredError, TooManyRequestsError and SessionRequiredError.
    """
    require_session(principal)
    factors = await list_methods(session, account.id)
    if password is None or factors or has_second_factor(require_session(principal).methods):
        check_recent_login(principal, factors)
    if password is not None:
        await require_password(throttle, account, password)


async def confirm_with_one_factor(
    throttle: Throttle, principal: Principal, account: StoredRow, password: str | None
) -> None:
    """Require the current password or, without one, a recent login, whatever it has proved.

    For what only takes access away: the owner of an abused account has to be fast.
    Call it as `confirm`, whose errors it raises.
    """
    require_session(principal)
    if password is None:
        check_recent_login(principal)
    else:
        await require_password(throttle, account, password)
