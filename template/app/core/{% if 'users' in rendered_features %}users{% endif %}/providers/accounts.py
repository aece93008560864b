"""Which account belongs to a user of a provider."""

from app.core.auth.audit import audit_after_commit
from app.core.auth.errors import ForbiddenError
from app.core.database import Session
from app.core.errors import ConflictError
from app.core.models import utc_now
from app.core.users.accounts import create_account, find_by_email, lock_account
from app.core.users.models import UserAccount
from app.core.users.providers.claims import ProvenIdentity
from app.core.users.providers.identities import (
    NotAllowedError,
    add_identity,
    find_identity,
    record_login,
)
from app.core.users.settings import get_users_settings
from app.core.users.sign_up import SignUpDisabledError


class UnverifiedEmailError(ForbiddenError):
    def __init__(self) -> None:
        super().__init__("The provider has confirmed no email address; verify yours there first.")


class AccountInactiveError(ForbiddenError):
    def __init__(self) -> None:
        super().__init__("The account is deactivated, or no longer linked to this login.")


class EmailTakenError(ConflictError):
    """The address has an account that this user of the provider is not linked to."""

    def __init__(self) -> None:
        super().__init__(
            "There is an account with this email address. Log in to it, or accept its invitation,"
            " and link the provider there."
        )


async def find_or_create_account(
    session: Session, proven: ProvenIdentity, label: str
) -> UserAccount:
    """Return the account of a user of a provider, locked; sign up a user who has none.

    Raises NotAllowedError, AccountInactiveError and what `sign_up` raises.
    """
    if not proven.is_allowed:
        raise NotAllowedError
    row = await find_identity(session, proven)
    if row is None:
        return await sign_up(session, proven, label)
    account = await lock_account(session, row.user_id)
    if account is None or not await record_login(session, row.id):
        raise AccountInactiveError
    return account


async def sign_up(session: Session, proven: ProvenIdentity, label: str) -> UserAccount:
    """Create an account with a verified address and without a password.

    An account that has the address already is never taken, however well the address is verified:
    a provider that confirms foreign addresses, or gives a former one to a new user, could take over
    any account. Nor can anyone prepare the account of another: without following the link in a
    mail to its address, nobody has one.

    Raises UnverifiedEmailError, EmailTakenError and SignUpDisabledError.
    """
    if proven.email is None:
        raise UnverifiedEmailError
    if await find_by_email(session, proven.email) is not None:
        raise EmailTakenError
    settings = get_users_settings()
    if not settings.sign_up:
        raise SignUpDisabledError
    account = await create_account(
        session, proven.email, email_verified_at=utc_now(), roles=list(settings.sign_up_roles)
    )
    audit_after_commit(session, "account created", user_id=str(account.id), issuer=proven.issuer)
    await add_identity(session, account, proven, label)
    return account
