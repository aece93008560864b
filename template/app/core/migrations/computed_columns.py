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
from sqlalchemy import Inspector, MetaData, Table

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
    columns = inspected.columns.keys() & {column.name for column in table.columns}
    for column in sorted(columns):
        if new is not None and old.get(column) != new.get(column):
            changes.ops += _replace(column, inspected, table)
    return PriorityDispatchResult.CONTINUE


def _expressions(inspector: Inspector, table: str, schema: str | None = None) -> dict[str, Any]:
    """Return the expression of each computed column, and whether it is stored."""
    columns = inspector.get_columns(table, schema=schema)
    return {one["name"]: one["computed"] for one in columns if "computed" in one}


def _replace(name: str, inspected: Table, table: Table) -> list[MigrateOperation]:
    """Return the operations that drop a column and its indexes, and add them again.

    A computed column has no values of its own, but one that is no longer computed is empty.
    """
    old = [index for index in inspected.indexes if name in index.columns]
    new = [index for index in table.indexes if name in [one.name for one in index.columns]]
    [column] = [one for one in table.columns if one.name == name]
    return [
        *(DropIndexOp.from_index(index) for index in old),
        DropColumnOp.from_column_and_tablename(
            inspected.schema, inspected.name, inspected.columns[name]
        ),
        AddColumnOp.from_column_and_tablename(table.schema, table.name, column),
        *(CreateIndexOp.from_index(index) for index in new),
    ]


PLUGIN = Plugin("app.core.migrations.computed_columns")
PLUGIN.add_autogenerate_comparator(compare_computed_columns, "table", "computed_columns")
