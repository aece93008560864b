"""The order of tables: each after those that it refers to, even if some refer to each other.

Alembic leaves such cycles to the user: https://github.com/sqlalchemy/alembic/issues/326
"""

from collections.abc import Iterable

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import UpgradeOps
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Table


def sort_tables(tables: Iterable[Table]) -> list[Table]:
    """Return the tables, each after those that it refers to, except where they form a cycle."""
    left = {table.key: table for table in sorted(tables, key=lambda table: table.key)}
    parents = {key: _parents(table) for key, table in left.items()}
    ordered: list[Table] = []
    while left:
        ready = [key for key in left if not parents[key] & left.keys()]
        ordered += [left.pop(key) for key in ready or [_find_cycle(parents, left)]]
    return ordered


def _parents(table: Table) -> set[str]:
    keys = (key for key in table.foreign_key_constraints if not key.use_alter)
    return {key.referred_table.key for key in keys} - {table.key}


def _find_cycle(parents: dict[str, set[str]], left: Iterable[str]) -> str:
    """Return a table that refers to itself by way of others; each has a parent among them."""
    seen: set[str] = set()
    key = min(left)
    while key not in seen:
        seen.add(key)
        key = min(parents[key].intersection(left))
    return key


def sort_models(
    context: AutogenContext, _operations: UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Sort the models' tables before Alembic does, which warns of each cycle."""
    # A cached property, which Alembic has yet to read.
    vars(context)["sorted_tables"] = sort_tables(context.table_key_to_table.values())
    return PriorityDispatchResult.CONTINUE


PLUGIN = Plugin("app.core.migrations.table_order")
PLUGIN.add_autogenerate_comparator(sort_models, "schema", priority=DispatchPriority.FIRST)
