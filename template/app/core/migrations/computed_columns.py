"""How autogenerate compares computed columns: in the server's own spelling.

Alembic compares their text roughly, and only warns: https://github.com/sqlalchemy/alembic/issues/1837
"""

from typing import Any

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
from sqlalchemy import Column, Index, Inspector, MetaData, Table

from app.core.migrations.temporary_table import read_back


def compare_computed_columns(
    context: AutogenContext,
    changes: ModifyTableOps,
    schema: str | None,
    name: str,
    inspected: Table | None,
    table: Table | None,
) -> PriorityDispatchResult:
    """Replace each column whose expression was changed, added or removed.

    The expressions of the model are read back from a temporary table, because servers rewrite them.
    If the server rejects that table, nothing is compared.
    """
    # In a table that is created or dropped, they are part of that operation.
    if inspected is None or table is None or context.connection is None:
        return PriorityDispatchResult.CONTINUE
    old = _expressions(context.inspector, name, schema)
    if not old and all(column.computed is None for column in table.columns):
        return PriorityDispatchResult.CONTINUE
    copy = table.to_metadata(MetaData(), name="_computed_columns")
    new = read_back(context.connection, copy, _expressions)
    if new is None:
        return PriorityDispatchResult.CONTINUE
    for column in table.columns:
        name = column.name
        if name in inspected.columns and old.get(name) != new.get(name):
            changes.ops += _replace(column, inspected)
    return PriorityDispatchResult.CONTINUE


def _expressions(inspector: Inspector, table: str, schema: str | None = None) -> dict[str, Any]:
    """Return the expression of each computed column, and whether it is stored."""
    columns = inspector.get_columns(table, schema=schema)
    return {one["name"]: one["computed"] for one in columns if "computed" in one}


def _replace(column: Column[Any], inspected: Table) -> list[MigrateOperation]:
    """Return the operations that drop a column and its indexes, and add them again.

    A computed column has no values of its own, but one that is no longer computed is empty.
    """
    schema, table = inspected.schema, inspected.name
    stored = inspected.columns[column.name]
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
