"""How autogenerate compares server defaults: in the spelling in which the server stores them."""

from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Computed, DefaultClause, Identity

from app.core.migrations import dialect
from app.core.migrations.stored_models import stored_model


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
    on MariaDB, and cannot compare JSON defaults on PostgreSQL:
    https://github.com/sqlalchemy/alembic/issues/1119
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
    if not _is_stored_as(context, old, column):
        if not dialect.NORMALIZES_DEFAULTS:
            return PriorityDispatchResult.CONTINUE
        change.modify_server_default = new
    return PriorityDispatchResult.STOP


def _is_stored_as(
    context: AutogenContext, stored: DefaultClause | None, column: Column[Any]
) -> bool:
    text = getattr(stored and stored.arg, "text", None)
    if _is_same(text, _written(context, column)):
        return True
    found = stored_model(context, column.table).columns.get(column.name)
    return found is not None and _is_same(text, found["default"])


def _is_same(stored: str | None, text: str | None) -> bool:
    if stored is None or text is None:
        return stored is text
    # SQLite removes parentheses around an expression, and Alembic adds some.
    return stored.strip("() \n") == text.strip("() \n")


def _written(context: AutogenContext, column: Column[Any]) -> str | None:
    """Return the default of a model as SQLAlchemy writes it."""
    assert context.dialect is not None  # noqa: S101
    compiler = context.dialect.ddl_compiler(context.dialect, None)  # type: ignore[arg-type]
    return compiler.get_column_default_string(column)


# A plugin, because Alembic fails on computed and identity columns if it is an argument of
# `context.configure`.
PLUGIN = Plugin("app.core.migrations.server_defaults")
PLUGIN.add_autogenerate_comparator(
    compare_server_default, "column", "server_default", priority=DispatchPriority.FIRST
)
