"""Sessions: each login has one, which ends by logout, after idle time, or at its end."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, select

from app.core.database import Session, StoredRow, read_rows
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.models import UserSession
from app.core.users.session_lifetimes import has_ended
from app.core.users.settings import get_users_settings
from app.core.users.tables import SESSIONS
from app.core.users.tokens import hash_token, new_token

PREFIX = "session_"
# Lengths of the columns.
USER_AGENT_LENGTH = 200
ADDRESS_LENGTH = 45

LIST = (
    select(
        *(SESSIONS.c.id, SESSIONS.c.user_agent, SESSIONS.c.address),
        *(SESSIONS.c.created_at, SESSIONS.c.last_seen_at, SESSIONS.c.expires_at),
    )
    .where(SESSIONS.c.user_id == bindparam("wanted"))
    .order_by(SESSIONS.c.last_seen_at.desc())
)


@dataclass(frozen=True)
class Device:
    """What a session shows to its user of where it was started."""

    user_agent: str | None = None
    address: str | None = None


async def start_session(
    session: Session,
    user_id: UUID,
    device: Device,
    *,
    methods: Iterable[str] = (),
    authenticated_at: datetime | None = None,
) -> str:
    """Insert a session in a transaction and return its token, which is stored nowhere.

    Only app.core.users.login.complete_login may call it.
    """
    token = new_token(PREFIX)
    now = utc_now()
    row = UserSession(
        user_id=user_id,
        token_hash=hash_token(token),
        user_agent=device.user_agent and _printable(device.user_agent)[:USER_AGENT_LENGTH],
        address=device.address and device.address[:ADDRESS_LENGTH],
        created_at=now,
        authenticated_at=authenticated_at or now,
        methods=" ".join(methods),
        last_seen_at=now,
        expires_at=now + timedelta(seconds=get_users_settings().session_lifetime),
    )
    session.add(row)
    await session.flush()
    return token


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))


async def end_session(session: Session, token: str) -> UUID | None:
    """Delete the session with a token; return the id of its account, or None if there is none."""
    of_token = SESSIONS.c.token_hash == hash_token(token)
    user_id = await session.scalar(select(SESSIONS.c.user_id).where(of_token))
    if user_id is not None:
        await session.execute(delete(SESSIONS).where(of_token))
    return user_id


async def list_sessions(session: Session, user_id: UUID) -> list[StoredRow]:
    """Return the sessions of an account that have not ended, the last one used first."""
    rows = await read_rows(session, LIST, {"wanted": user_id})
    return [row for row in rows if not has_ended(row.last_seen_at, row.expires_at)]


async def end_sessions(
    session: Session, user_id: UUID, *, ids: Collection[UUID] | None = None
) -> int:
    """Delete the sessions of an account, all of them if `ids` is None; return their number."""
    statement = delete(SESSIONS).where(SESSIONS.c.user_id == user_id)
    if ids is not None:
        statement = statement.where(SESSIONS.c.id.in_(ids))
    return await affected_rows(session, statement)
