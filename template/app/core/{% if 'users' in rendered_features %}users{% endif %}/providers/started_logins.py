"""Logins with providers that browsers have started: each can be finished once, within minutes."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select

from app.core.database import Session, SessionFactory, StoredRow
from app.core.errors import AppError
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.models import UserProviderLogin
from app.core.users.providers.secrets import LoginSecrets
from app.core.users.tables import PROVIDER_LOGINS

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


class StartedLogins:
    """The logins that browsers have started, as the request that finishes one uses it."""

    def __init__(self, sessions: SessionFactory) -> None:
        self.sessions = sessions
        self.has_used_one = False

    async def use(self, secrets: LoginSecrets, provider: str) -> StoredRow:
        """Delete a login and return it; of parallel uses, one wins. Raises LoginNotStartedError.

        In a transaction of its own: the login stays used if what follows fails, and no connection
        is held while the provider is asked.
        """
        is_wanted = (
            PROVIDER_LOGINS.c.state_hash == secrets.state_hash,
            PROVIDER_LOGINS.c.cookie_hash == secrets.cookie_hash,
            PROVIDER_LOGINS.c.provider == provider,
            PROVIDER_LOGINS.c.expires_at > utc_now(),
        )
        async with self.sessions.begin() as session:
            row = (await session.execute(select(PROVIDER_LOGINS).where(*is_wanted))).one_or_none()
            deleted = await affected_rows(session, delete(PROVIDER_LOGINS).where(*is_wanted))
        if row is None or deleted != 1:
            raise LoginNotStartedError
        self.has_used_one = True
        return row
