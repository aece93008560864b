"""The read that finds a session: by the driver, at less than half the cost of SQLAlchemy's own.

It is part of every authenticated request. If it fails, SQLAlchemy repeats it, and reports what
fails again as it does for any other read.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Dialect, Engine, Table, bindparam, select
from sqlalchemy.util import await_only, greenlet_spawn

from app.core.database import READ_ENGINE, Session, SessionFactory, read_rows
from app.core.users.driver_read import fetch_row
from app.core.users.models import UserAccount, UserSession

SESSION = cast(Table, UserSession.__table__)
ACCOUNT = cast(Table, UserAccount.__table__)


class SessionRow(NamedTuple):
    """A session, and its account."""

    session_id: UUID
    user_id: UUID
    authenticated_at: datetime
    methods: str
    last_seen_at: datetime
    expires_at: datetime
    roles: list[str]
    deactivated_at: datetime | None


# In the order of SessionRow.
COLUMNS = (
    *(SESSION.c.id, SESSION.c.user_id, SESSION.c.authenticated_at, SESSION.c.methods),
    *(SESSION.c.last_seen_at, SESSION.c.expires_at, ACCOUNT.c.roles, ACCOUNT.c.deactivated_at),
)
FIND = (
    select(*COLUMNS)
    .join(ACCOUNT, ACCOUNT.c.id == SESSION.c.user_id)
    .where(SESSION.c.token_hash == bindparam("token_hash"))
)


async def find_row(sessions: SessionFactory, token_hash: str) -> SessionRow | None:
    """Return the row of a session or None, on a connection of its own, without a transaction."""
    # The sessions of tests share a connection, and have no such engine.
    engine: Engine | None = (sessions.kw.get("info") or {}).get(READ_ENGINE)
    if engine is not None:
        try:
            return await greenlet_spawn(_read_by_driver, engine, token_hash)
        except DriverReadError:
            pass
    session = sessions()
    try:
        return await find_row_in(session, token_hash)
    finally:
        if session.in_transaction():
            await session.close()
        else:
            # As in app.core.database.open_session.
            session.sync_session.close()


async def find_row_in(session: Session, token_hash: str) -> SessionRow | None:
    """Return the row of a session or None, by a session that may be in a transaction."""
    rows = await read_rows(session, FIND, {"token_hash": token_hash})
    return SessionRow(*rows[0]) if rows else None


class DriverReadError(Exception):
    """The driver could not read the row."""


def _read_by_driver(engine: Engine, token_hash: str) -> SessionRow | None:
    sql, processors = _compile(engine.dialect)
    connection = engine.raw_connection()
    try:
        found = await_only(fetch_row(connection.driver_connection, sql, token_hash))
        values = found and [
            process(value) for process, value in zip(processors, found, strict=True)
        ]
    except Exception as error:
        raise DriverReadError from error
    finally:
        connection.close()
    return SessionRow(*values) if values else None


@cache
def _compile(dialect: Dialect) -> tuple[str, list[Callable[[Any], Any]]]:
    """Return the SQL, and what converts the values of each column."""
    types = [column.type.dialect_impl(dialect) for column in COLUMNS]
    processors: list[Callable[[Any], Any]] = [
        kind.result_processor(dialect, None) or _as_it_is for kind in types
    ]
    return str(FIND.compile(dialect=dialect)), processors


def _as_it_is(value: Any) -> Any:
    return value
