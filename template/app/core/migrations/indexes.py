"""How autogenerate compares indexes: in the spelling in which the server stores them."""

from typing import TypeAlias
from weakref import WeakKeyDictionary

from alembic.autogenerate.api import AutogenContext
from alembic.ddl.impl import ComparisonResult
from alembic.operations.ops import (
    CreateIndexOp,
    DropIndexOp,
    MigrateOperation,
    ModifyTableOps,
    UpgradeOps,
)
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Index, Table

from app.core.migrations import stored_indexes
from app.core.migrations.index_definitions import is_stored_as, parse_index
from app.core.migrations.stored_models import by_stored_name

UNCHANGED = "unchanged indexes with an expression"

# By schema and table, and by name.
Definitions: TypeAlias = dict[tuple[str | None, str], dict[str, str]]
_definitions: WeakKeyDictionary[AutogenContext, Definitions] = WeakKeyDictionary()


def read_definitions(
    context: AutogenContext, _operations: UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Read all indexes at once, and let Alembic compare nothing but names.

    It ignores options, and warns of expressions, which it cannot compare:
    https://github.com/sqlalchemy/alembic/issues/750
    https://github.com/sqlalchemy/alembic/issues/1327
    """
    assert context.connection is not None  # noqa: S101
    _definitions[context] = stored_indexes.read_all(context.connection)
    vars(context.migration_context.impl).update(
        compare_indexes=lambda *_: ComparisonResult.Equal(),
        _skip_functional_indexes=lambda *_: None,
    )
    return PriorityDispatchResult.CONTINUE


def compare_indexes(
    context: AutogenContext,
    changes: ModifyTableOps,
    schema: str | None,
    name: str,
    inspected: Table | None,
    table: Table | None,
) -> PriorityDispatchResult:
    """Replace changed indexes, and correct what Alembic does for those that it does not read."""
    if inspected is None or context.connection is None:
        return PriorityDispatchResult.CONTINUE
    stored = _definitions[context].get((schema, name), {})
    reflected = {str(index.name): index for index in inspected.indexes if index.expressions}
    models = {} if table is None else by_stored_name(table.indexes, context.connection.dialect)
    for key, definition in sorted(stored.items()):
        old = reflected.get(key) or parse_index(key, definition, inspected)
        new = models.get(key)
        if new is not None and is_stored_as(context.connection, new, definition, inspected):
            _replace(changes, key, [])
            if has_expression(new):
                changes.info.setdefault(UNCHANGED, []).append(new)
        elif new is not None or key not in reflected:
            _replace(changes, key, replacement(old, new))
    return PriorityDispatchResult.CONTINUE


def has_expression(index: Index) -> bool:
    """Return whether an index is on more than columns, such as `lower(name)` or `name DESC`."""
    return not all(isinstance(item, Column) for item in index.expressions)


def replacement(old: Index, new: Index | None) -> list[MigrateOperation]:
    """Return the operations that replace an index, or only drop it."""
    drop = DropIndexOp.from_index(old)
    return [drop] if new is None else [drop, CreateIndexOp.from_index(new)]


def _replace(changes: ModifyTableOps, name: str, operations: list[MigrateOperation]) -> None:
    others = (op for op in changes.ops if getattr(op, "index_name", None) != name)
    changes.ops[:] = [*others, *operations]


PLUGIN = Plugin("app.core.migrations.indexes")
PLUGIN.add_autogenerate_comparator(read_definitions, "schema", priority=DispatchPriority.FIRST)
# After Alembic's, which has the same priority.
PLUGIN.add_autogenerate_comparator(compare_indexes, "table", "definitions_of_indexes")
