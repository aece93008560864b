"""When sessions end by themselves, and how their use is recorded."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, update

from app.core.database import SessionFactory
from app.core.models import utc_now
from app.core.users.settings import UsersSettings, get_users_settings
from app.core.users.tables import SESSIONS

# A session that was used is written again after this part of the idle time.
TOUCH_INTERVALS = 10


def has_ended(last_seen_at: datetime, expires_at: datetime) -> bool:
    """Return whether a session has ended by itself."""
    now = utc_now()
    idle = timedelta(seconds=get_users_settings().session_idle)
    return expires_at <= now or last_seen_at + idle <= now


def touch_interval(settings: UsersSettings) -> timedelta:
    """Return the age of `last_seen_at` at which it is written again."""
    return timedelta(seconds=settings.session_idle / TOUCH_INTERVALS)


async def touch_session(sessions: SessionFactory, session_id: UUID) -> None:
    """Record that a session was used, in a transaction of its own."""
    now = utc_now()
    statement = (
        update(SESSIONS)
        # Another request may have been faster.
        .where(
            SESSIONS.c.id == session_id,
            SESSIONS.c.last_seen_at <= now - touch_interval(get_users_settings()),
        )
        .values(last_seen_at=now)
    )
    async with sessions.begin() as session:
        await session.execute(statement)


def is_ended() -> ColumnElement[bool]:
    """Return the condition for rows of sessions that have ended by themselves."""
    now = utc_now()
    idle = timedelta(seconds=get_users_settings().session_idle)
    return or_(SESSIONS.c.expires_at <= now, SESSIONS.c.last_seen_at <= now - idle)
