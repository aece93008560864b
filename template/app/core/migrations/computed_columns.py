"""How autogenerate compares computed columns: in the server's own spelling.

Alembic compares their text roughly, and only warns: https://github.com/sqlalchemy/alembic/issues/1837
"""

from typing import Any, TypeAlias

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AddColumnOp,
    AddConstraintOp,
    CreateIndexOp,
    DropColumnOp,
    MigrateOperation,
    ModifyTableOps,
)
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Index, Table, UniqueConstraint
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
    pairs = [(inspected.columns.get(column.name), column) for column in table.columns]
    changed = [
        (old, new) for old, new in pairs if old is not None and _is_changed(context, old, new)
    ]
    if changed:
        _replace(changes, changed)
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


def _replace(changes: ModifyTableOps, columns: list[tuple[Column[Any], Column[Any]]]) -> None:
    """Drop columns with their indexes and unique constraints, and add them again.

    A computed column has no values of its own, but one that is no longer computed is empty.
    """
    old = _indexes([stored for stored, _ in columns])
    new = _indexes([column for _, column in columns])
    kept = [op for op in changes.ops if _name(op) not in {*old, *new}]
    replaced: list[MigrateOperation] = []
    for stored, column in columns:
        schema, table = column.table.schema, column.table.name
        replaced.append(DropColumnOp.from_column_and_tablename(schema, table, stored))
        replaced.append(AddColumnOp.from_column_and_tablename(schema, table, column))
    drops = [_create(index).reverse() for index in old.values()]
    changes.ops[:] = [*kept, *drops, *replaced, *map(_create, new.values())]


def _indexes(columns: list[Column[Any]]) -> dict[str, Index | UniqueConstraint]:
    """Return the indexes and unique constraints of columns of a table, by name."""
    table = columns[0].table
    # Constraints last: MariaDB and MySQL report their indexes, too.
    items: list[Index | UniqueConstraint] = [*table.indexes]
    items += [item for item in table.constraints if isinstance(item, UniqueConstraint)]
    used = [item for item in items if any(column in item.columns.values() for column in columns)]
    return {str(item.name): item for item in used}


def _create(item: Index | UniqueConstraint) -> CreateIndexOp | AddConstraintOp:
    if isinstance(item, Index):
        return CreateIndexOp.from_index(item)
    return AddConstraintOp.from_constraint(item)


def _name(op: MigrateOperation) -> str:
    return str(getattr(op, "index_name", None) or getattr(op, "constraint_name", None))


PLUGIN = Plugin("app.core.migrations.computed_columns")
# After indexes.py, whose operations may belong to replaced columns.
PLUGIN.add_autogenerate_comparator(
    compare_computed_columns, "table", "computed_columns", priority=DispatchPriority.LAST
)
