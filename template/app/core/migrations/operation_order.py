"""The order of generated operations: tables before the foreign keys that refer to them."""

from collections.abc import Callable, Iterable

from alembic.operations.ops import (
    CreateForeignKeyOp,
    CreateTableOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
    OpContainer,
    UpgradeOps,
)
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint

from app.core.migrations.table_order import sort_tables


def sort_operations(operations: UpgradeOps, *, separate_keys: bool) -> None:
    """Drop tables last, and before those that they refer to, and create foreign keys after tables.

    With `separate_keys`, foreign keys are dropped first and created last. Otherwise, they stay in
    the table's operation, because SQLite alters a table by copying it.

    Alembic creates each foreign key with its table, even if the table that it refers to does not
    exist yet, never creates one that has `use_alter`, and drops tables in any order:
    https://github.com/sqlalchemy/alembic/issues/326
    """
    created = [op for op in operations.ops if isinstance(op, CreateTableOp)]
    dropped = _reverse_drops(op for op in operations.ops if isinstance(op, DropTableOp))
    others = [op for op in operations.ops if not isinstance(op, DropTableOp)]
    first: list[MigrateOperation] = []
    last: list[MigrateOperation] = []
    if separate_keys:
        # New tables last, because their foreign keys may refer to primary keys that change.
        names = {(op.schema, op.table_name) for op in created}
        others.sort(key=lambda op: _table_name(op) in names)
        first += _take(others, _drops_foreign_key)
        first += [op.reverse() for op in _take_late_keys(dropped)]
        last += _take(others, lambda op: isinstance(op, CreateForeignKeyOp))
        last += _take_late_keys(created)
    drops = [op.reverse() for op in reversed(dropped)]
    operations.ops[:] = [*first, *others, *drops, *last]


def _table_name(op: MigrateOperation) -> tuple[str | None, str | None]:
    """Return the schema and name of a table; an operation on a schema or type has none."""
    return getattr(op, "schema", None), getattr(op, "table_name", None)


def _reverse_drops(drops: Iterable[DropTableOp]) -> list[CreateTableOp]:
    """Return the operations that create dropped tables again, in the order that this requires."""
    created = {(op := drop.reverse()).to_table().key: op for drop in drops}
    return [created[table.key] for table in sort_tables(op.to_table() for op in created.values())]


def _take_late_keys(created: list[CreateTableOp]) -> list[CreateForeignKeyOp]:
    """Remove and return the foreign keys that cannot be created with their table."""
    taken: list[CreateForeignKeyOp] = []
    tables = {(table := op.to_table()).key: table for op in created}
    later = set(tables)
    for op in created:
        later.discard(op.to_table().key)
        keys = [item for item in op.columns if isinstance(item, ForeignKeyConstraint)]
        late = {key for key in keys if _is_late(key, tables, later)}
        op.columns = [item for item in op.columns if item not in late]
        operations = [CreateForeignKeyOp.from_constraint(key) for key in late]
        taken += sorted(operations, key=lambda key: key.local_cols)
    return taken


def _is_late(key: ForeignKeyConstraint, tables: dict[str, Table], later: set[str]) -> bool:
    """Return whether a foreign key has to be created after its table and the `later` ones."""
    referred = tables.get(key.referred_table.key)
    columns = {element.column.name for element in key.elements}
    return (
        # Left out of CREATE TABLE.
        key.use_alter
        or key.referred_table.key in later
        or (referred is not None and not _has_key(referred, columns))
    )


def _has_key(table: Table, columns: set[str]) -> bool:
    """Return whether a table is created with a unique constraint on these columns.

    A unique index is created afterwards; MariaDB and MySQL report unique constraints as such.
    """
    keys = (PrimaryKeyConstraint, UniqueConstraint)
    constraints = (item for item in table.constraints if isinstance(item, keys))
    return any({column.name for column in item.columns} == columns for item in constraints)


def _take(
    operations: list[MigrateOperation], matches: Callable[[MigrateOperation], bool]
) -> list[MigrateOperation]:
    """Remove and return the operations on existing tables that match."""
    taken: list[MigrateOperation] = []
    for operation in operations:
        if isinstance(operation, ModifyTableOps):
            taken += filter(matches, operation.ops)
            operation.ops[:] = [op for op in operation.ops if op not in taken]
    return taken


def _drops_foreign_key(op: MigrateOperation) -> bool:
    return isinstance(op, DropConstraintOp) and op.constraint_type == "foreignkey"


def remove_needless_drops(operations: OpContainer) -> None:
    """Remove operations that drop an index of a table that is dropped as a whole.

    MariaDB and MySQL refuse to drop an index that a foreign key still needs.
    """
    dropped = {(op.schema, op.table_name) for op in operations.ops if isinstance(op, DropTableOp)}

    def is_needed(op: MigrateOperation) -> bool:
        return not isinstance(op, DropIndexOp) or (op.schema, op.table_name) not in dropped

    for op in operations.ops:
        if isinstance(op, ModifyTableOps):
            op.ops[:] = filter(is_needed, op.ops)
    operations.ops[:] = [
        op
        for op in operations.ops
        if is_needed(op) and not (isinstance(op, ModifyTableOps) and op.is_empty())
    ]
