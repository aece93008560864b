"""Data migrations in batches by primary key, each in a short transaction of its own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError

from app.core.migrations.batches import Batches, find_key
from app.core.migrations.dialect import enforcing_foreign_keys


def backfill(
    target: MigrationContext | sa.Connection,
    table: str | sa.TableClause,
    values: Mapping[str, Any] | Callable[[sa.RowMapping], Mapping[str, Any]],
    *,
    where: sa.ColumnElement[bool],
    batch_size: int = 1000,
    pause: float = 0.1,
) -> int:
    """Update the rows that match `where`, and return their number.

    `target` is `op.get_context()` in a revision that does nothing before it, or a connection.
    `values` maps columns to SQL expressions, or is a function that returns the new values of a row.
    `pause` is the number of seconds between two batches.

    An updated row must not match `where` any more. A run that was killed therefore needs no record
    of its progress: the next one finds the rows that are left.

    Raises CommandError if updated rows still match, if the table has no primary key, or if a
    transaction of the caller is open; DBAPIError if a batch fails. Earlier batches stay committed.
    """
    if isinstance(target, sa.Connection):
        return _run(target, table, values, where, batch_size, pause)
    if target.as_sql:
        _print_statement(target, table, values, where)
        return 0
    with _between_transactions(target) as connection, enforcing_foreign_keys(connection):
        return _run(connection, table, values, where, batch_size, pause)


def _run(
    connection: sa.Connection,
    table: str | sa.TableClause,
    values: Any,
    where: sa.ColumnElement[bool],
    batch_size: int,
    pause: float,
) -> int:
    if connection.in_transaction():
        raise CommandError(
            "backfill: the connection has an open transaction, in which no batch can be committed;"
            " commit it first, or call Alembic with a connection from engine.connect()"
        )
    table, key = find_key(connection, table)
    return Batches(connection, table, key, values, where, batch_size, pause).run()


def _print_statement(
    context: MigrationContext, table: str | sa.TableClause, values: Any, where: Any
) -> None:
    """Write one UPDATE for all rows: SQL alone cannot read keys and commit batches."""
    if callable(values):
        raise CommandError(
            "backfill: a function of rows cannot be written as SQL (--sql); run this revision on a"
            " connection to the database"
        )
    if isinstance(table, str):
        table = sa.table(table, *map(sa.column, values))
    context.impl.static_output("-- In one transaction: on a connection, in batches.")
    context.impl.execute(sa.update(table).where(where).values(dict(values)))


@contextmanager
def _between_transactions(context: MigrationContext) -> Iterator[sa.Connection]:
    """Commit the transaction of the revision, and begin another one for its end.

    Not `autocommit_block`, in which a batch could have only one statement.
    """
    connection: Any = context.connection
    if (transaction := context._transaction) is not None:
        transaction.commit()
        context._transaction = None
    try:
        yield connection
    finally:
        if transaction is not None:
            context._transaction = connection.begin()
