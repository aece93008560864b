"""The rows that count attempts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    insert,
    select,
    update,
)

from app.core.database import Session, StoredRow
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.tables import THROTTLES
from app.core.users.throttling.limits import Limit, key_hash

WITH_HASHES = THROTTLES.c.key_hash.in_(bindparam("hashes", expanding=True))
KNOWN = select(THROTTLES.c.key_hash).where(WITH_HASHES)
LOCKED = select(THROTTLES).where(WITH_HASHES).order_by(THROTTLES.c.key_hash).with_for_update()
VALUES: dict[Any, Any] = {
    THROTTLES.c.attempts: bindparam("counted"),
    THROTTLES.c.retry_at: bindparam("until"),
    THROTTLES.c.updated_at: bindparam("now"),
}
CHANGE = update(THROTTLES).where(THROTTLES.c.key_hash == bindparam("hashed")).values(VALUES)
ADD = insert(THROTTLES).values(VALUES | {THROTTLES.c.key_hash: bindparam("hashed")})
# More attempts than anybody can make.
ALL = 1e9
MORE = THROTTLES.c.attempts > bindparam("forgiven")
FORGIVE = (
    update(THROTTLES)
    .where(THROTTLES.c.key_hash == bindparam("hashed"))
    .values(
        attempts=case((MORE, THROTTLES.c.attempts - bindparam("forgiven")), else_=0.0),
        retry_at=bindparam("now"),
    )
)


async def count_attempt(session: Session, limits: Mapping[str, Limit]) -> float:
    """Count an attempt, unless it has to wait; return the seconds to wait."""
    by_hash = {key_hash(key): limit for key, limit in limits.items()}
    # Not locked if missing: on MySQL, locks on gaps would block inserts of other keys.
    known = [*await session.scalars(KNOWN, {"hashes": [*by_hash]})]
    rows = [*await session.execute(LOCKED, {"hashes": known})] if known else []
    now = utc_now()
    latest = max((row.retry_at for row in rows), default=now)
    if latest > now:
        return (latest - now).total_seconds()
    earlier = {row.key_hash: row for row in rows}
    # In the order of the locks.
    counted = [_count(by_hash[key], key, earlier.get(key), now) for key in sorted(by_hash)]
    if changed := [values for values in counted if values["hashed"] in earlier]:
        await session.execute(CHANGE, changed)
    if added := [values for values in counted if values["hashed"] not in earlier]:
        await session.execute(ADD, added)
    return 0


def _count(limit: Limit, hashed: str, row: StoredRow | None, now: datetime) -> dict[str, object]:
    """Return the parameters of CHANGE or ADD."""
    attempts = limit.remaining(row.attempts, now - row.updated_at) + 1 if row else 1
    retry_at = now + limit.wait(attempts)
    return {"hashed": hashed, "counted": attempts, "until": retry_at, "now": now}


async def forgive(session: Session, attempts: Mapping[str, float]) -> None:
    """Forget a number of attempts of each key, or ALL, and the wait that they caused.

    Rows are changed, and not deleted: on MySQL, deleting a missing one would lock a gap.
    """
    # In the order in which attempts are counted: otherwise, parallel ones would deadlock.
    by_hash = sorted((key_hash(key), number) for key, number in attempts.items())
    now = utc_now()
    values = [{"hashed": key, "forgiven": number, "now": now} for key, number in by_hash]
    await session.execute(FORGIVE, values)


async def has_count(session: Session, key: str) -> bool:
    return bool(await session.scalar(KNOWN, {"hashes": [key_hash(key)]}))


async def start_count(session: Session, key: str) -> None:
    """Let a key have a count, which has no attempts."""
    now = utc_now()
    values = {"hashed": key_hash(key), "counted": 0.0, "until": now, "now": now}
    if await affected_rows(session, CHANGE, values) == 0:
        await session.execute(ADD, values)


def is_forgotten() -> ColumnElement[bool]:
    """Return the condition for rows that have counted no attempt for a day."""
    return THROTTLES.c.updated_at < utc_now() - timedelta(days=1)
