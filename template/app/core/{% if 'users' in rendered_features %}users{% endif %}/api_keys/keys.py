"""API keys: the database has their hashes; each has scopes, and an end."""

import re
import secrets
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, or_, update

from app.core.database import Session, SessionFactory
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.api_keys.settings import get_api_key_settings
from app.core.users.tables import API_KEYS
from app.core.users.tokens import new_token

# Session tokens do not fit it.
API_KEY_PATTERN = re.compile(r"(?P<prefix>[a-z][a-z0-9]{0,19}_key_[0-9a-f]{8})_[A-Za-z0-9_-]{43}")
# `last_used_at` is written again after this time.
TOUCH_INTERVAL = timedelta(minutes=5)


def new_api_key() -> tuple[str, str]:
    """Return a key such as `app_key_1f09c3d7_8Wb…` and its beginning, which is not secret."""
    prefix = f"{get_api_key_settings().prefix}_key_{secrets.token_hex(4)}"
    return new_token(f"{prefix}_"), prefix


async def touch_api_key(sessions: SessionFactory, key_id: UUID) -> None:
    """Record that a key was used, in a transaction of its own."""
    now = utc_now()
    # Another request may have been faster.
    is_due = or_(API_KEYS.c.last_used_at.is_(None), API_KEYS.c.last_used_at <= now - TOUCH_INTERVAL)
    statement = update(API_KEYS).where(API_KEYS.c.id == key_id, is_due).values(last_used_at=now)
    async with sessions.begin() as session:
        await session.execute(statement)


async def revoke_api_keys(
    session: Session, user_id: UUID, *, ids: Collection[UUID] | None = None
) -> int:
    """Delete the keys of an account, all of them if `ids` is None; return their number."""
    statement = delete(API_KEYS).where(API_KEYS.c.user_id == user_id)
    if ids is not None:
        statement = statement.where(API_KEYS.c.id.in_(ids))
    return await affected_rows(session, statement)
