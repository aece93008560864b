"""The read that finds a token: by the driver, at less than half the cost of SQLAlchemy's own.

It is part of every authenticated request. If it fails, a line of the log says why, and SQLAlchemy
repeats it, and reports what fails again as it does for any other read.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import Dialect, Engine, Select
from sqlalchemy.util import await_only, greenlet_spawn

from app.core.database import READ_ENGINE, Session, SessionFactory, read_rows
from app.core.driver_errors import describe
from app.core.users.driver_read import fetch_row

logger = structlog.get_logger("app.users")

RowT = TypeVar("RowT", bound=tuple[Any, ...])


class TokenLookup(Generic[RowT]):
    """Finds the row with a hash, the only parameter of the statement, `token_hash`."""

    def __init__(self, row: Callable[..., RowT], statement: Select[*tuple[Any, ...]]) -> None:
        """`row` takes the columns of the statement, in their order."""
        self.row = row
        self.statement = statement

    async def find(self, sessions: SessionFactory, token_hash: str) -> RowT | None:
        """Return the row or None, on a connection of its own, without a transaction."""
        # The sessions of tests share a connection, and have no such engine.
        engine: Engine | None = (sessions.kw.get("info") or {}).get(READ_ENGINE)
        if engine is not None:
            try:
                return await greenlet_spawn(self._read_by_driver, engine, token_hash)
            except DriverReadError as error:
                logger.warning("driver could not find a token", **describe(error.reason))
        session = sessions()
        try:
            return await self.find_in(session, token_hash)
        finally:
            if session.in_transaction():
                await session.close()
            else:
                # As in app.core.database.open_session.
                session.sync_session.close()

    async def find_in(self, session: Session, token_hash: str) -> RowT | None:
        """Return the row or None, by a session that may be in a transaction."""
        rows = await read_rows(session, self.statement, {"token_hash": token_hash})
        return self.row(*rows[0]) if rows else None

    def _read_by_driver(self, engine: Engine, token_hash: str) -> RowT | None:
        sql, processors = _compile(self.statement, engine.dialect)
        connection = engine.raw_connection()
        try:
            found = await_only(fetch_row(connection.driver_connection, sql, token_hash))
            values = found and [
                process(value) for process, value in zip(processors, found, strict=True)
            ]
        except Exception as error:
            raise DriverReadError(error) from error
        finally:
            connection.close()
        return self.row(*values) if values else None


class DriverReadError(Exception):
    """The driver could not read the row."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


@cache
def _compile(
    statement: Select[*tuple[Any, ...]], dialect: Dialect
) -> tuple[str, list[Callable[[Any], Any]]]:
    """Return the SQL, and what converts the values of each column."""
    types = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
    processors: list[Callable[[Any], Any]] = [
        kind.result_processor(dialect, None) or _as_it_is for kind in types
    ]
    return str(statement.compile(dialect=dialect)), processors


def _as_it_is(value: Any) -> Any:
    return value
