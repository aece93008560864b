"""How autogenerate compares column types: in the spelling in which the server stores them."""

import re
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column
from sqlalchemy.types import NullType, TypeEngine

from app.core.migrations.stored_models import stored_model

# How MariaDB displays integers; it has no effect on what they store.
DISPLAY_WIDTH = re.compile(r"(?<=INT|GER)\(\d+\)")


def compare_type(
    context: AutogenContext,
    change: AlterColumnOp,
    _schema: str | None,
    _table: str,
    _name: str,
    inspected: Column[Any],
    column: Column[Any],
) -> PriorityDispatchResult:
    """Record a changed type in `change`; return CONTINUE where Alembic should decide.

    Servers rewrite types: MariaDB stores `FLOAT(53)` as `DOUBLE`, and `BLOB(255)` as `TINYBLOB`,
    which Alembic reports as changed every time. It also misses changes, such as that from `VARCHAR`
    to `VARCHAR(20)`, and of a collation: https://github.com/sqlalchemy/alembic/issues/475
    """
    # Alembic cannot compare a type that SQLAlchemy does not know.
    if any(isinstance(one.type, NullType) for one in (inspected, column)):
        return PriorityDispatchResult.CONTINUE
    current = _spelling(inspected.type, context)
    if _spelling(column.type, context) == current:
        return PriorityDispatchResult.STOP
    if (stored := stored_model(context, column.table).columns.get(column.name)) is None:
        # The server rejects it, such as one that the new revision has yet to create.
        return PriorityDispatchResult.CONTINUE
    is_unknown = isinstance(stored["type"], NullType)
    if is_unknown or _spelling(stored["type"], context) != current:
        change.modify_type = column.type
    return PriorityDispatchResult.STOP


def _spelling(kind: TypeEngine[Any], context: AutogenContext) -> str:
    assert context.dialect is not None  # noqa: S101
    return DISPLAY_WIDTH.sub("", kind.compile(context.dialect))


PLUGIN = Plugin("app.core.migrations.type_comparison")
PLUGIN.add_autogenerate_comparator(compare_type, "column", "types", priority=DispatchPriority.FIRST)
