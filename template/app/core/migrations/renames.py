"""Comments in revisions on what may be a rename, which autogenerate writes as a drop and an add.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html#what-does-autogenerate-detect-and-what-does-it-not-detect
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateTableOp,
    DropColumnOp,
    DropTableOp,
    MigrationScript,
    ModifyTableOps,
    OpContainer,
)
from sqlalchemy import Column, Table
from sqlalchemy.types import NullType

from app.core.migrations.comments import Comment

logger = logging.getLogger(__name__)

T = TypeVar("T")

COLUMN = (
    "{table}.{old} is dropped and {table}.{new}, of the same type, is added: its values are lost."
    " If the column was renamed, write this instead of add_column and drop_column:"
)
TABLE = (
    "{old} is dropped and {new}, with the same columns, is added: its rows are lost. If the table"
    " was {action}, write this instead of create_table and drop_table:"
)


def comment_renames(context: AutogenContext, script: MigrationScript) -> None:
    """Insert a comment above each drop and add that may be a rename, and log it as a warning."""
    for upgrade, downgrade in zip(script.upgrade_ops_list, script.downgrade_ops_list, strict=True):
        for old_table, new_table in _renamed_tables(context, upgrade):
            _insert(upgrade, new_table, comment := _table_comment(context, old_table, new_table))
            _insert(downgrade, old_table, _table_comment(context, new_table, old_table))
            logger.warning("%s", comment)
        for old, new in _renamed_columns(context, upgrade):
            _insert(upgrade, new.table, comment := _column_comment(context, old, new))
            _insert(downgrade, new.table, _column_comment(context, new, old))
            logger.warning("%s", comment)
    # The types in the comments need them, too.
    script.imports.update(context.imports)


def _renamed_tables(context: AutogenContext, operations: OpContainer) -> list[tuple[Table, Table]]:
    """Return the pairs of a dropped and an added table that have the same columns.

    They are in the same schema, or have the same name.
    """
    dropped = [op.to_table() for op in operations.ops if isinstance(op, DropTableOp)]
    added = [op.to_table() for op in operations.ops if isinstance(op, CreateTableOp)]

    def is_same(old: Table, new: Table) -> bool:
        if old.schema != new.schema and old.name != new.name:
            return False
        dropped, added = ({column.name: column for column in table.c} for table in (old, new))
        return dropped.keys() == added.keys() and all(
            _is_same_type(context, dropped[name], added[name]) for name in dropped
        )

    return list(_pairs(dropped, added, is_same))


def _renamed_columns(
    context: AutogenContext, operations: OpContainer
) -> list[tuple[Column[Any], Column[Any]]]:
    """Return the pairs of a dropped and an added column of a table that have the same type."""
    pairs: list[tuple[Column[Any], Column[Any]]] = []
    for table in operations.ops:
        if isinstance(table, ModifyTableOps):
            dropped = [op.to_column() for op in table.ops if isinstance(op, DropColumnOp)]
            added = [op.column for op in table.ops if isinstance(op, AddColumnOp)]
            # Alembic drops columns in no particular order.
            dropped.sort(key=lambda column: list(column.table.c.keys()).index(column.key))
            pairs += _pairs(dropped, added, lambda old, new: _is_same_type(context, old, new))
    # A computed column is replaced by one of the same name.
    return [(old, new) for old, new in pairs if old.name != new.name]


def _is_same_type(context: AutogenContext, old: Column[Any], new: Column[Any]) -> bool:
    # Alembic cannot compare a type that SQLAlchemy does not know.
    known = not any(isinstance(column.type, NullType) for column in (old, new))
    return known and not context.migration_context.impl.compare_type(old, new)


def _pairs(
    dropped: Iterable[T], added: Iterable[T], is_same: Callable[[T, T], bool]
) -> Iterator[tuple[T, T]]:
    """Yield each dropped object with the first added one that is the same and has no pair yet."""
    unpaired = list(added)
    for old in dropped:
        for index, new in enumerate(unpaired):
            if is_same(old, new):
                yield old, unpaired.pop(index)
                break


def _table_comment(context: AutogenContext, old: Table, new: Table) -> Comment:
    assert context.dialect is not None  # noqa: S101
    preparer = context.dialect.identifier_preparer
    if old.schema == new.schema:
        schema = f", schema={old.schema!r}" if old.schema else ""
        action, code = "renamed", f"op.rename_table({old.name!r}, {new.name!r}{schema})"
    else:
        schema = preparer.quote(new.schema or str(context.dialect.default_schema_name))
        sql = f"ALTER TABLE {preparer.format_table(old)} SET SCHEMA {schema}"
        action, code = "moved", f"op.execute({sql!r})"
    sentence = TABLE.format(old=old.fullname, new=new.fullname, action=action)
    return Comment(sentence, [_quote(code)])


def _column_comment(context: AutogenContext, old: Column[Any], new: Column[Any]) -> Comment:
    existing: dict[str, Any] = {}
    if context.dialect is not None and context.dialect.name in ("mysql", "mariadb"):
        # Alembic renames by CHANGE, which would remove every property that it does not state.
        existing = {
            "existing_type": old.type,
            "existing_nullable": old.nullable,
            "existing_server_default": old.server_default,
            "existing_comment": old.comment,
            "autoincrement": old is old.table.autoincrement_column or None,
        }
    op = AlterColumnOp(
        old.table.name, old.name, schema=old.table.schema, modify_name=new.name, **existing
    )
    code = [_quote(line.strip()) for line in render.render_op_text(context, op).splitlines()]
    return Comment(COLUMN.format(table=old.table.fullname, old=old.name, new=new.name), code)


def _quote(code: str) -> str:
    return code if '"' in code else code.replace("'", '"')


def _insert(operations: OpContainer, table: Table, comment: Comment) -> None:
    """Insert a comment above the operations that add a table or columns to it."""
    for index, op in enumerate(operations.ops):
        for part in op.ops if isinstance(op, ModifyTableOps) else [op]:
            if not isinstance(part, AddColumnOp | CreateTableOp):
                continue
            if (part.schema, part.table_name) == (table.schema, table.name):
                operations.ops.insert(index, comment)
                return
