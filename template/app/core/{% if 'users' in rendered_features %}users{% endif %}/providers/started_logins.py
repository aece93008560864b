"""Logins with providers that browsers have started: each can be finished once, within minutes."""

from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, Table, delete, select

from app.core.database import Session, SessionFactory, StoredRow
from app.core.errors import AppError
from app.core.models import utc_now
from app.core.users.models import UserProviderLogin
from app.core.users.providers.secrets import LoginSecrets

TABLE = cast(Table, UserProviderLogin.__table__)
# Seconds that a user has for the pages of the provider.
LIFETIME = 600


class LoginNotStartedError(AppError):
    """The browser has not started this login, or it is finished or too old."""

    def __init__(self) -> None:
        super().__init__("The login has expired, or another browser has started it; start again.")


async def store_login(
    session: Session,
    secrets: LoginSecrets,
    provider: str,
    *,
    session_id: UUID | None = None,
    return_to: str | None = None,
    is_renewal: bool = False,
) -> None:
    """Insert a login in a transaction; its secrets are not stored."""
    row = UserProviderLogin(
        state_hash=secrets.state_hash,
        cookie_hash=secrets.cookie_hash,
        provider=provider,
        session_id=session_id,
        return_to=return_to,
        is_renewal=is_renewal,
        expires_at=utc_now() + timedelta(seconds=LIFETIME),
    )
    session.add(row)
    await session.flush()


async def use_login(sessions: SessionFactory, secrets: LoginSecrets, provider: str) -> StoredRow:
    """Delete a login and return it; of parallel uses, one wins. Raises LoginNotStartedError.

    In a transaction of its own: the login stays used if what follows fails, and no connection is
    held while the provider is asked.
    """
    is_wanted = (
        TABLE.c.state_hash == secrets.state_hash,
        TABLE.c.cookie_hash == secrets.cookie_hash,
        TABLE.c.provider == provider,
        TABLE.c.expires_at > utc_now(),
    )
    async with sessions.begin() as session:
        row = (await session.execute(select(TABLE).where(*is_wanted))).one_or_none()
        deleted = await session.execute(delete(TABLE).where(*is_wanted))
    if row is None or cast(CursorResult[tuple[()]], deleted).rowcount != 1:
        raise LoginNotStartedError
    return row
