"""How autogenerate compares primary keys, which Alembic leaves out: by their columns, in order."""

import logging

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreatePrimaryKeyOp, ModifyTableOps
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult
from sqlalchemy import Table
from sqlalchemy.sql.elements import conv

from app.core.migrations.comments import Comment

logger = logging.getLogger(__name__)

NUMBERS = (
    "The model of {table} leaves the new primary key to the database, which does not generate its"
    " numbers yet, and Alembic does not write that: see Primary keys in docs/migrations.md"
)


def compare_primary_key(
    context: AutogenContext,
    operations: ModifyTableOps,
    _schema: str | None,
    _name: str,
    inspected: Table | None,
    table: Table | None,
) -> PriorityDispatchResult:
    """Replace a primary key of other columns: https://github.com/sqlalchemy/alembic/issues/993

    The old key is dropped before columns become nullable, and the new one is created after columns
    are added and before others are dropped; the downgrade reverses this order.
    """
    if inspected is None or table is None or _columns(inspected) == _columns(table):
        return PriorityDispatchResult.CONTINUE
    logger.info("Detected changed primary key of table %s", table.fullname)
    # MariaDB and MySQL do not name primary keys, and ignore the name.
    new_name = str(table.primary_key.name or "primary")
    if _columns(inspected):
        old_name = str(inspected.primary_key.name or new_name)
        operations.ops.insert(0, _create_primary_key(inspected, old_name).reverse())
    if _columns(table):
        if _lacks_numbers(context, inspected, table):
            operations.ops.append(comment := Comment(NUMBERS.format(table=table.fullname)))
            logger.warning("%s", comment)
        operations.ops.append(_create_primary_key(table, new_name))
    return PriorityDispatchResult.CONTINUE


def _lacks_numbers(context: AutogenContext, inspected: Table, table: Table) -> bool:
    """Return whether the model expects numbers for new keys that the database will not generate.

    https://github.com/sqlalchemy/alembic/issues/1224
    """
    column = table.autoincrement_column
    if column is None or context.dialect is None or context.dialect.name == "sqlite":
        return False
    if column.identity is not None and context.dialect.supports_identity_columns:
        return False
    return column.name not in inspected.c or inspected.c[column.name].autoincrement is not True


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def _create_primary_key(table: Table, name: str) -> CreatePrimaryKeyOp:
    # `conv`: the naming convention is already applied.
    return CreatePrimaryKeyOp(conv(name), table.name, _columns(table), schema=table.schema)


# Alembic has no renderer of this operation.
@render.renderers.dispatch_for(CreatePrimaryKeyOp, replace=True)
def render_create_primary_key(context: AutogenContext, op: CreatePrimaryKeyOp) -> str:
    """Return the call of `op.create_primary_key`, or of the batch operation."""
    prefix = render._alembic_autogenerate_prefix(context)
    name = render._render_gen_name(context, op.constraint_name)
    arguments = [repr(name), repr(list(op.columns))]
    if not context._has_batch:
        arguments.insert(1, repr(op.table_name))
        arguments += [f"schema={op.schema!r}"] if op.schema else []
    return f"{prefix}create_primary_key({', '.join(arguments)})"


PLUGIN = Plugin("app.core.migrations.primary_keys")
PLUGIN.add_autogenerate_comparator(compare_primary_key, "table", "primary_key")
