"""Accounts, as services find and lock them."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select

from app.core.auth.errors import UnauthorizedError
from app.core.auth.principal import Principal
from app.core.database import Session, StoredRow, read_rows
from app.core.models import utc_now
from app.core.users.models import UserAccount
from app.core.users.tables import ACCOUNTS

BY_EMAIL = select(ACCOUNTS).where(ACCOUNTS.c.email == bindparam("wanted"))
BY_ID = select(ACCOUNTS).where(ACCOUNTS.c.id == bindparam("wanted"))


async def find_by_email(session: Session, email: str) -> StoredRow | None:
    """Return the row of an account or None, without a transaction."""
    rows = await read_rows(session, BY_EMAIL, {"wanted": email})
    return rows[0] if rows else None


async def find_by_id(session: Session, user_id: UUID) -> StoredRow | None:
    """Return the row of an account or None, without a transaction."""
    rows = await read_rows(session, BY_ID, {"wanted": user_id})
    return rows[0] if rows else None


async def find_own(session: Session, principal: Principal) -> StoredRow:
    """Return the row of the caller's account, without a transaction.

    Raises UnauthorizedError if it was deleted meanwhile.
    """
    if (row := await find_by_id(session, UUID(principal.id))) is None:
        raise UnauthorizedError("The account was deleted.", invalid_token=True)
    return row


async def lock_account(session: Session, user_id: UUID | None) -> UserAccount | None:
    """Return an active account, locked until the transaction ends, or None.

    Whatever starts a session, or ends all sessions of one account, locks it, so that a login with
    an old password cannot slip in while the password changes. Callers who change their own account
    use `lock_own_account`: their session may have ended while they waited.

    Lock it before its sessions and tokens: in different orders, transactions would wait for each
    other.
    """
    if user_id is None:
        return None
    # Allows inserts of rows that refer to the account.
    lock: Any = {"key_share": True}
    account = await session.get(UserAccount, user_id, with_for_update=lock, populate_existing=True)
    return account if account and account.deactivated_at is None else None


async def create_account(session: Session, email: str, **values: Any) -> UserAccount:
    """Insert an account. Raises IntegrityError, which becomes a 409, if the address has one."""
    account = UserAccount(email=email, **values)
    session.add(account)
    await session.flush()
    return account


def mark_verified(account: UserAccount) -> None:
    """Record that the user of an account receives mails to its address."""
    account.email_verified_at = account.email_verified_at or utc_now()
