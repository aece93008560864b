"""How autogenerate compares computed columns: in the server's own spelling.

Alembic compares their text roughly, and only warns: https://github.com/sqlalchemy/alembic/issues/1837
"""

from typing import Any, TypeAlias

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AddColumnOp,
    CreateIndexOp,
    DropColumnOp,
    DropIndexOp,
    MigrateOperation,
    ModifyTableOps,
)
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult
from sqlalchemy import Column, Index, Table
from sqlalchemy.engine.interfaces import ReflectedColumn

from app.core.migrations.stored_models import stored_model

# The expression of a computed column, and whether its values are stored.
Expression: TypeAlias = tuple[str, bool | None]


def compare_computed_columns(
    context: AutogenContext,
    changes: ModifyTableOps,
    _schema: str | None,
    _name: str,
    inspected: Table | None,
    table: Table | None,
) -> PriorityDispatchResult:
    """Replace each column whose expression was changed, added or removed.

    If the server rejects the model, nothing is compared.
    """
    # In a table that is created or dropped, they are part of that operation.
    if inspected is None or table is None:
        return PriorityDispatchResult.CONTINUE
    for column in table.columns:
        stored = inspected.columns.get(column.name)
        if stored is not None and _is_changed(context, stored, column):
            changes.ops += _replace(stored, column)
    return PriorityDispatchResult.CONTINUE


def _is_changed(context: AutogenContext, stored: Column[Any], column: Column[Any]) -> bool:
    if stored.computed is None and column.computed is None:
        return False
    old = _inspected_computed(stored)
    expected = stored_model(context, column.table).columns.get(column.name)
    return expected is not None and old != _stored_computed(expected)


def _stored_computed(column: ReflectedColumn) -> Expression | None:
    if (computed := column.get("computed")) is None:
        return None
    return computed["sqltext"], computed.get("persisted")


def _inspected_computed(column: Column[Any]) -> Expression | None:
    if column.computed is None:
        return None
    # Not compiled, which would take a colon for a parameter.
    return column.computed.sqltext.text, column.computed.persisted


def _replace(stored: Column[Any], column: Column[Any]) -> list[MigrateOperation]:
    """Return the operations that drop a column and its indexes, and add them again.

    A computed column has no values of its own, but one that is no longer computed is empty.
    """
    schema, table = column.table.schema, column.table.name
    return [
        *map(DropIndexOp.from_index, _indexes(stored)),
        DropColumnOp.from_column_and_tablename(schema, table, stored),
        AddColumnOp.from_column_and_tablename(schema, table, column),
        *map(CreateIndexOp.from_index, _indexes(column)),
    ]


def _indexes(column: Column[Any]) -> list[Index]:
    indexes = [index for index in column.table.indexes if column in index.columns.values()]
    # Alembic has added those that it read to the inspected table a second time.
    return list({index.name: index for index in indexes}.values())


PLUGIN = Plugin("app.core.migrations.computed_columns")
PLUGIN.add_autogenerate_comparator(compare_computed_columns, "table", "computed_columns")
