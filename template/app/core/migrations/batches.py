"""The batches of a backfill: rows by primary key, retries of lost deadlocks, and progress."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.migrations.dialect import is_after, is_key_in, is_lock_timeout
from app.core.migrations.lock import read_only, sleep

logger = logging.getLogger(__name__)

ATTEMPTS = 5
SECONDS_BETWEEN_ATTEMPTS = 0.5
SECONDS_BETWEEN_REPORTS = 5.0


def find_key(
    connection: sa.Connection, table: str | sa.TableClause
) -> tuple[sa.TableClause, list[sa.ColumnClause[Any]]]:
    """Return a table, with its columns if only its name is given, and its primary key.

    Raises CommandError if it has none.
    """
    name, schema = (table, None) if isinstance(table, str) else (table.name, table.schema)
    with read_only(connection):
        inspector = sa.inspect(connection)
        types = {column["name"]: column["type"] for column in inspector.get_columns(name, schema)}
        names = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    if not names:
        raise CommandError(
            f"backfill: table {name} has no primary key, by which its rows are read in batches"
        )
    if isinstance(table, str):
        table = sa.table(name, *(sa.column(*column) for column in types.items()))
    return table, [table.c.get(name, sa.column(name, types[name])) for name in names]


@dataclass
class Batches:
    """The batches of one backfill; see `app.core.migrations.backfill`."""

    connection: sa.Connection
    table: sa.TableClause
    key: Sequence[sa.ColumnClause[Any]]
    values: Mapping[str, Any] | Callable[[sa.RowMapping], Mapping[str, Any]]
    where: sa.ColumnElement[bool]
    size: int
    pause: float
    updated: int = 0
    began: float = field(default_factory=time.monotonic)
    reported: float = field(default_factory=time.monotonic)

    def run(self) -> int:
        """Update rows until none matches, as others may insert some meanwhile; return how many."""
        previous = None
        while remaining := self._count():
            if previous is not None and remaining >= previous:
                raise CommandError(
                    f"backfill: {remaining} rows of {self.table.name} still match the condition"
                    f" after all were updated: {self.where}. Either the new values do not change"
                    " that (exclude such rows), or running code still writes such rows (make it"
                    " write the new values first)."
                )
            previous = remaining
            self._walk(self.updated + remaining)
        logger.info("%s: %d rows updated", self.table.name, self.updated)
        return self.updated

    def _count(self) -> int:
        return int(self._read(sa.select(sa.func.count()).where(self.where))[0][0])

    def _walk(self, expected: int) -> None:
        """Update all rows that match, in the order of their keys."""
        keys: Sequence[sa.Row[Any]] = self._read_keys(None)
        while keys:
            self.updated += self._update_with_retries(keys)
            self._report(expected)
            if len(keys) < self.size:
                break
            sleep(self.pause)
            keys = self._read_keys(keys[-1])

    def _read_keys(self, last: sa.Row[Any] | None) -> Sequence[sa.Row[Any]]:
        after = [] if last is None else [is_after(self.key, last)]
        keys = sa.select(*self.key).where(self.where, *after).order_by(*self.key)
        return self._read(keys.limit(self.size))

    def _read(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with read_only(self.connection):
            return self.connection.execute(statement.select_from(self.table)).all()

    def _update_with_retries(self, keys: Sequence[sa.Row[Any]]) -> int:
        # Not with stamina, which would block the event loop of a caller.
        attempt = 1
        while True:
            try:
                with self.connection.begin():
                    return self._update(keys)
            except DBAPIError as error:
                if attempt == ATTEMPTS or not is_temporary(error):
                    raise
                logger.warning("%s: retrying a batch: %s", self.table.name, error.orig)
            sleep(SECONDS_BETWEEN_ATTEMPTS * attempt)
            attempt += 1

    def _update(self, keys: Sequence[sa.Row[Any]]) -> int:
        # Again with the condition: others may have changed rows since their keys were read.
        chosen = is_key_in(self.key, keys) & self.where
        if callable(self.values):
            return self._update_rows(self.values, chosen)
        update = sa.update(self.table).where(chosen).values(dict(self.values))
        return self.connection.execute(update).rowcount

    def _update_rows(
        self, compute: Callable[[sa.RowMapping], Mapping[str, Any]], chosen: sa.ColumnElement[bool]
    ) -> int:
        columns = {column.name: column for column in (*self.key, *self.table.columns)}
        select = sa.select(*columns.values()).select_from(self.table).where(chosen)
        rows = self.connection.execute(select.with_for_update(key_share=True)).mappings().all()
        names = {f"key {column.name}": column for column in self.key}
        same_key = [column == sa.bindparam(name) for name, column in names.items()]
        parameters = [
            {**compute(row), **{name: row[column.name] for name, column in names.items()}}
            for row in rows
        ]
        if parameters:
            self.connection.execute(sa.update(self.table).where(*same_key), parameters)
        return len(rows)

    def _report(self, expected: int) -> None:
        now = time.monotonic()
        if now - self.reported < SECONDS_BETWEEN_REPORTS:
            return
        self.reported = now
        rate = self.updated / (now - self.began)
        logger.info("%s: %d of about %d rows, %d/s", self.table.name, self.updated, expected, rate)


def is_temporary(error: DBAPIError) -> bool:
    """Return whether the same batch may succeed later: a lost deadlock, or a timeout of a lock."""
    return classify_error(error) is ErrorKind.RETRYABLE or is_lock_timeout(error)
