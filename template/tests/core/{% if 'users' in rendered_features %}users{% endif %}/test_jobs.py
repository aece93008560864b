"""Rows that have expired are deleted."""

from datetime import timedelta

from sqlalchemy import func, select

from app.core.database import SessionFactory
from app.core.jobs.schedules import SCHEDULES
from app.core.models import utc_now
from app.core.users.jobs import delete_expired
from app.core.users.models import UserAccount, UserSession, UserThrottle, UserToken


async def test_expired_rows_are_deleted(ada: UserAccount, session_factory: SessionFactory) -> None:
    now = utc_now()
    past, future, long_ago = now - timedelta(1), now + timedelta(1), now - timedelta(8)
    async with session_factory.begin() as session:
        for number, (expires_at, seen_at) in enumerate(
            [(future, now), (past, now), (future, long_ago)]
        ):
            session.add(
                UserSession(
                    user_id=ada.id,
                    token_hash=str(number),
                    expires_at=expires_at,
                    last_seen_at=seen_at,
                )
            )
        for number, expires_at in enumerate([future, past]):
            session.add(
                UserToken(token_hash=str(number), purpose="x", email="x@y", expires_at=expires_at)
            )
        for key, updated_at in {"new": now, "old": long_ago}.items():
            session.add(
                UserThrottle(key_hash=key, attempts=1, retry_at=updated_at, updated_at=updated_at)
            )
    async with session_factory.begin() as session:
        await delete_expired(session)
        for model in (UserSession, UserToken, UserThrottle, UserAccount):
            assert await session.scalar(select(func.count()).select_from(model)) == 1


def test_expired_rows_are_deleted_every_day() -> None:
    assert SCHEDULES["users.delete_expired"].cron.split()[2:] == ["*", "*", "*"]
