"""Rows that have expired, which are deleted in batches; each condition is served by an index."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from sqlalchemy import ColumnElement, Table, delete, select

from app.core.database import Session, read_rows
from app.core.models import utc_now
from app.core.users.factors.totp import is_unconfirmed
from app.core.users.session_lifetimes import is_ended
from app.core.users.tables import (
    API_KEYS,
    CHALLENGES,
    ONE_TIME_TOKENS,
    PROVIDER_LOGINS,
    SESSIONS,
    THROTTLES,
    TOTP_APPS,
)
from app.core.users.throttling.counts import is_forgotten

Condition: TypeAlias = Callable[[], ColumnElement[bool]]

BATCH = 1000
"""Rows that one transaction deletes at most: a statement must end in time."""


def is_past(table: Table) -> ColumnElement[bool]:
    return table.c.expires_at <= utc_now()


CONDITIONS: dict[Table, Condition] = {
    **{
        table: partial(is_past, table)
        for table in (ONE_TIME_TOKENS, CHALLENGES, API_KEYS, PROVIDER_LOGINS)
    },
    SESSIONS: is_ended,
    TOTP_APPS: is_unconfirmed,
    THROTTLES: is_forgotten,
}
TABLES = {table.name: table for table in CONDITIONS}


async def delete_batch(session: Session, name: str) -> bool:
    """Delete up to BATCH rows of a table in TABLES; return whether there may be more."""
    table = TABLES[name]
    has_expired = CONDITIONS[table]()
    [key] = table.primary_key
    rows = await read_rows(session, select(key).where(has_expired).limit(BATCH), {})
    if rows:
        # Compared again: an attempt may have been counted meanwhile.
        found = key.in_([row[0] for row in rows])
        await session.execute(delete(table).where(found, has_expired))
    return len(rows) == BATCH
