"""How autogenerate compares server defaults: in the spelling in which the server stores them."""

from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Connection, DefaultClause, Identity, MetaData, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from app.core.migrations import dialect


def compare_server_default(
    context: AutogenContext,
    change: AlterColumnOp,
    _schema: str | None,
    _table: str,
    _name: str,
    inspected: Column[Any],
    column: Column[Any],
) -> PriorityDispatchResult:
    """Record a changed server default in `change`; return CONTINUE where Alembic should decide.

    Servers rewrite defaults such as `now()`, `true` or `'it''s'`. Alembic reports that as a change
    on MariaDB, and cannot compare JSON defaults on PostgreSQL. Therefore the model's default is
    stored in a temporary table and read back first.
    """
    old, new = inspected.server_default, column.server_default
    if isinstance(new, Identity) and not getattr(context.dialect, "supports_identity_columns", 0):
        # An ordinary primary key there, which Alembic would report as changed every time.
        return PriorityDispatchResult.STOP
    if not isinstance(new, DefaultClause) or not isinstance(old, DefaultClause | None):
        return PriorityDispatchResult.CONTINUE
    change.existing_server_default = old
    arg: Any = new.arg
    wanted = Column("value", column.type, server_default=arg)
    if not _is_stored_as(context.connection, old, wanted):
        if not dialect.NORMALIZES_DEFAULTS:
            return PriorityDispatchResult.CONTINUE
        change.modify_server_default = new
    return PriorityDispatchResult.STOP


def _is_stored_as(
    connection: Connection | None, stored: DefaultClause | None, column: Column[Any]
) -> bool:
    if (found := stored_column(connection, column)) is None:
        return False
    text = getattr(stored and stored.arg, "text", None)
    # Alembic puts defaults that it reads from SQLite in parentheses.
    return text in (found["default"], f"({found['default']})")


def stored_column(
    connection: Connection | None, column: Column[Any], **options: Any
) -> ReflectedColumn | None:
    """Return a column as the server stores it in a table with these options.

    Return None if the server rejects it, as it does one that needs a type or function that the new
    revision has yet to create.
    Raises DBAPIError if the database user may not create temporary tables.
    """
    assert connection is not None  # noqa: S101
    table = Table("_stored_column", MetaData(), column, prefixes=["TEMPORARY"], **options)
    try:
        with connection.begin_nested():
            # Not Table.create and Table.drop, which would also create and drop a native enum type.
            connection.execute(CreateTable(table))
            [reflected] = inspect(connection).get_columns(table.name)
            connection.exec_driver_sql(f"{dialect.DROP_TEMPORARY_TABLE} {table.name}")
    except DBAPIError as error:
        if dialect.is_permission_denied(error):
            raise
        return None
    return reflected


# A plugin, because Alembic fails on computed and identity columns if it is an argument of
# `context.configure`.
PLUGIN = Plugin("app.core.migrations.server_defaults")
PLUGIN.add_autogenerate_comparator(
    compare_server_default, "column", "server_default", priority=DispatchPriority.FIRST
)
