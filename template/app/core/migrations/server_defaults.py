"""How autogenerate compares server defaults: in the spelling in which the server stores them."""

from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import (
    Column,
    Computed,
    Connection,
    DefaultClause,
    Identity,
    Inspector,
    MetaData,
    Table,
)

from app.core.migrations import dialect
from app.core.migrations.temporary_table import read_back


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
    if isinstance(old, Computed) or isinstance(new, Computed):
        # See app.core.migrations.computed_columns; Alembic would only warn.
        return PriorityDispatchResult.STOP
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
    assert connection is not None  # noqa: S101
    table = Table("_server_default", MetaData(), column)
    normalized = read_back(connection, table, _defaults)
    if normalized is None:
        return False
    text = getattr(stored and stored.arg, "text", None)
    # Alembic puts defaults that it reads from SQLite in parentheses.
    return text in (*normalized, *(f"({default})" for default in normalized))


def _defaults(inspector: Inspector, table: str) -> list[str | None]:
    return [column["default"] for column in inspector.get_columns(table)]


# A plugin, because Alembic fails on computed and identity columns if it is an argument of
# `context.configure`.
PLUGIN = Plugin("app.core.migrations.server_defaults")
PLUGIN.add_autogenerate_comparator(
    compare_server_default, "column", "server_default", priority=DispatchPriority.FIRST
)
