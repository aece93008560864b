"""Locks of accounts for callers whose session may end while they wait."""

from uuid import UUID

from sqlalchemy import select

from app.core.auth.principal import Principal
from app.core.database import Session
from app.core.users.accounts import lock_account
from app.core.users.authentication import invalid_credentials
from app.core.users.caller_session import require_session
from app.core.users.models import UserAccount
from app.core.users.tables import SESSIONS


async def lock_own_account(session: Session, principal: Principal) -> UserAccount:
    """Return the caller's account, locked with the caller's session.

    A session that was ended, by a new password for example, can therefore change nothing. Raises
    UnauthorizedError if the session has ended since the caller was authenticated, or while this
    waited for the lock, and ForbiddenError for a caller without a session.
    """
    own_session = require_session(principal).id
    account = await lock_account_of_session(session, UUID(principal.id), own_session)
    if account is None:
        raise invalid_credentials()
    return account


async def lock_account_of_session(session: Session, user_id: UUID, key: UUID) -> UserAccount | None:
    """Return an active account, locked with one of its sessions, or None if that has ended."""
    account = await lock_account(session, user_id)
    # Locked, too: the end of a single session does not lock the account. Always in this order.
    of_account = (SESSIONS.c.id == key, SESSIONS.c.user_id == user_id)
    found = await session.scalar(select(SESSIONS.c.id).where(*of_account).with_for_update())
    return account if found else None
