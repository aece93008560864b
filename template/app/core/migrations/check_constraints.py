"""How autogenerate compares CHECK constraints: by name, and in the server's own spelling.

Alembic compares none, or only names: https://github.com/sqlalchemy/alembic/issues/1761
"""

from copy import copy
from itertools import chain
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    DropConstraintOp,
    ModifyTableOps,
)
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult
from sqlalchemy import CheckConstraint, Dialect, Table, TextClause
from sqlalchemy.sql.elements import conv

from app.core.migrations.stored_models import by_stored_name, stored_model


def compare_check_constraints(
    context: AutogenContext,
    changes: ModifyTableOps,
    _schema: str | None,
    _name: str,
    inspected: Table | None,
    table: Table | None,
) -> PriorityDispatchResult:
    """Add an operation for each CHECK constraint that was added, removed or changed.

    Servers rewrite expressions: `price > 0` is stored as `(price > (0)::numeric)`. If the server
    rejects the model, which may need what the new revision has yet to create, the constraints are
    compared by name.
    """
    # In a table that is created or dropped, they are part of that operation.
    if inspected is None or table is None or context.connection is None:
        return PriorityDispatchResult.CONTINUE
    stored = [one for one in inspected.constraints if isinstance(one, CheckConstraint)]
    old = {str(one.name): _inspected_text(one) for one in stored if one.name}
    dialect = context.connection.dialect
    new = by_stored_name(_constraints(table, dialect), dialect)
    expected = {key: _text(one, dialect) for key, one in new.items()}
    if any(old[key] != expected[key] for key in old.keys() & new.keys()):
        expected = expected | old | stored_model(context, table).checks
    for key in sorted(old.keys() | new.keys()):
        if key in old and key in new and old[key] == expected[key]:
            continue
        if key in old:
            constraint = CheckConstraint(old[key], name=conv(key), table=inspected)
            changes.ops.append(DropConstraintOp.from_constraint(constraint))
        if key in new:
            changes.ops.append(_creation(key, new[key], table))
            _disown(new[key], changes)
    return PriorityDispatchResult.CONTINUE


def _constraints(table: Table, dialect: Dialect) -> list[CheckConstraint]:
    """Return the constraints of a model, its columns and types, except what is not created."""
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]
    found = chain(table.constraints, *(column.constraints for column in table.columns))
    constraints = [one for one in found if isinstance(one, CheckConstraint)]
    # A database with a type for booleans needs no constraint of Boolean.
    return [one for one in constraints if one._should_create_for_compiler(compiler)]


def _text(constraint: CheckConstraint, dialect: Dialect) -> str:
    options = {"include_table": False, "literal_binds": True}
    return str(constraint.sqltext.compile(dialect=dialect, compile_kwargs=options))


def _creation(name: str, constraint: CheckConstraint, table: Table) -> CreateCheckConstraintOp:
    return CreateCheckConstraintOp(conv(name), table.name, constraint.sqltext, schema=table.schema)


def _disown(constraint: CheckConstraint, changes: ModifyTableOps) -> None:
    """Leave the constraint of a column's type to the operation that creates it by name.

    MariaDB and MySQL would create it twice, and SQLite only with a table.
    """
    for operation in changes.ops:
        if isinstance(operation, AddColumnOp) and operation.column.name in constraint.columns:
            operation.column.type = _unconstrained(operation.column.type)
        elif isinstance(operation, AlterColumnOp) and operation.column_name in constraint.columns:
            operation.modify_type = _unconstrained(operation.modify_type)


def _unconstrained(kind: Any) -> Any:
    if not getattr(kind, "create_constraint", False):
        return kind
    kind = copy(kind)
    kind.create_constraint = False
    return kind


def _inspected_text(constraint: CheckConstraint) -> str:
    # Not compiled, which would take a colon for a parameter.
    assert isinstance(constraint.sqltext, TextClause)  # noqa: S101
    return constraint.sqltext.text


PLUGIN = Plugin("app.core.migrations.check_constraints")
PLUGIN.add_autogenerate_comparator(compare_check_constraints, "table", "check_constraints")
