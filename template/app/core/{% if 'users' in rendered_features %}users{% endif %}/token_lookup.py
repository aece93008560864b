"""The read that finds tokens: by the driver, at a fraction of the cost of SQLAlchemy's own.

It is part of every authenticated request, and requests that arrive together share one statement.
If the statement fails, a line of the log says why, and SQLAlchemy repeats it for each request, and
reports what fails again as it does for any other read.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import repeat
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import BindParameter, ColumnElement, Dialect, Engine, Select, bindparam
from sqlalchemy.util import await_only, greenlet_spawn

from app.core.database import READ_ENGINE, Session, SessionFactory, read_rows
from app.core.driver_errors import describe
from app.core.users.batch import Batch
from app.core.users.driver_read import fetch_rows

logger = structlog.get_logger("app.users")

RowT = TypeVar("RowT", bound=tuple[Any, ...])


class TokenLookup(Generic[RowT]):
    """Finds rows by the hashes of tokens."""

    def __init__(
        self,
        row: Callable[..., RowT],
        rows: Select[*tuple[Any, ...]],
        token_hash: ColumnElement[str],
    ) -> None:
        """`row` takes the columns of `rows`, in their order; `token_hash` is a unique column."""
        self.row = row
        self.statement = rows.where(token_hash == bindparam("token_hash"))
        self._rows = rows.add_columns(token_hash)
        self._token_hash = token_hash
        # The last one of each engine.
        self._batches: WeakKeyDictionary[Engine, Batch[RowT]] = WeakKeyDictionary()

    async def find(self, sessions: SessionFactory, token_hash: str) -> RowT | None:
        """Return the row or None, by another connection than that of the request, if it has one.

        Starts no transaction. Raises DBAPIError, and SQLAlchemy's TimeoutError without a free
        connection.
        """
        # The sessions of tests share a connection, and have no such engine.
        engine: Engine | None = (sessions.kw.get("info") or {}).get(READ_ENGINE)
        if engine is not None:
            try:
                return await self._batch(engine).get(token_hash)
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

    def _batch(self, engine: Engine) -> Batch[RowT]:
        batch = self._batches.get(engine)
        if batch is None or not batch.is_open:
            read = partial(greenlet_spawn, self._read_by_driver, engine)
            batch = self._batches[engine] = Batch(read)
        return batch

    def _read_by_driver(self, engine: Engine, hashes: Sequence[str]) -> Mapping[str, RowT]:
        # A power of two, so that connections prepare few statements.
        size = 1 << (len(hashes) - 1).bit_length()
        sql, processors = _compile(self._rows, self._token_hash, size, engine.dialect)
        parameters = [*hashes, *repeat(hashes[0], size - len(hashes))]
        connection = engine.raw_connection()
        try:
            found = await_only(fetch_rows(connection.driver_connection, sql, parameters))
            return {token_hash: self._convert(values, processors) for *values, token_hash in found}
        except Exception as error:
            raise DriverReadError(error) from error
        finally:
            connection.close()

    def _convert(self, values: list[Any], processors: list[Callable[[Any], Any]]) -> RowT:
        pairs = zip(processors, values, strict=True)
        return self.row(*[process(value) for process, value in pairs])


class DriverReadError(Exception):
    """The driver could not read the rows."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


@cache
def _compile(
    rows: Select[*tuple[Any, ...]], token_hash: ColumnElement[str], size: int, dialect: Dialect
) -> tuple[str, list[Callable[[Any], Any]]]:
    """Return the SQL that finds `size` hashes, and what converts the values of columns."""
    *columns, _ = rows.selected_columns
    types = [column.type.dialect_impl(dialect) for column in columns]
    processors: list[Callable[[Any], Any]] = [
        kind.result_processor(dialect, None) or _as_it_is for kind in types
    ]
    names = [f"token_hash_{number}" for number in range(size)]
    hashes: list[BindParameter[str]] = [bindparam(name) for name in names]
    return str(rows.where(token_hash.in_(hashes)).compile(dialect=dialect)), processors


def _as_it_is(value: Any) -> Any:
    return value
