"""How autogenerate compares indexes: in the spelling in which the server stores them."""

import re
from collections.abc import Mapping
from typing import TypeGuard

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    CreateIndexOp,
    DropIndexOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
)
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Connection, Index, MetaData, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from app.core.migrations import dialect, stored_indexes

KEPT = "indexes that are unchanged, and that a batch would not copy"
COPY = Table("_table_with_index", MetaData())
# Such as `UNIQUE (lower(name)) WHERE deleted_at IS NULL`.
DEFINITION = re.compile(r"(UNIQUE )?\((.*?)\)(?: WHERE (.+))?", re.DOTALL)


def compare_indexes(
    context: AutogenContext,
    changes: ModifyTableOps,
    _schema: str | None,
    _name: str,
    stored_table: Table | None,
    table: Table | None,
) -> PriorityDispatchResult:
    """Correct what Alembic has found: it ignores options, and cannot compare all expressions.

    https://github.com/sqlalchemy/alembic/issues/750
    https://github.com/sqlalchemy/alembic/issues/1327
    """
    assert context.connection is not None  # noqa: S101
    new = {} if table is None else {str(index.name): index for index in table.indexes}
    stored, old = {}, {}
    if stored_table is not None:
        cache = context.inspector.info_cache
        stored = stored_indexes.read(context.connection, stored_table, cache)
        old = _old_indexes(stored_table, stored)
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name), new.get(name)
        if first is not None and second is not None:
            is_same = _is_stored_as(context.connection, stored[name], second, first)
        else:
            # Alembic has found it, unless SQLAlchemy cannot reflect its expressions.
            is_same = None if all(map(_is_plain, (first, second))) else False
        if is_same is not None:
            _set_operations(changes, name, [] if is_same else _operations(first, second))
        if is_same and second is not None and not _is_plain(second):
            changes.info.setdefault(KEPT, []).append(second)
    return PriorityDispatchResult.CONTINUE


def keep_indexes(script: MigrationScript) -> None:
    """Drop indexes with expressions before batches of SQLite, and create them afterwards.

    A batch copies the table as SQLAlchemy reflects it: without them, or without `DESC`.
    """
    upgrades = [op for operations in script.upgrade_ops_list for op in operations.ops]
    kept = {op.table_name: op.info.get(KEPT, []) for op in upgrades if _is_batch(op)}
    for operations in (*script.upgrade_ops_list, *script.downgrade_ops_list):
        operations.ops[:] = [part for op in operations.ops for part in _take_out(op, kept)]


def _is_batch(operation: MigrateOperation) -> TypeGuard[ModifyTableOps]:
    return isinstance(operation, ModifyTableOps)


def _take_out(
    operation: MigrateOperation, kept: Mapping[str, list[Index]]
) -> list[MigrateOperation]:
    if not _is_batch(operation):
        return [operation]
    outside = [op for op in operation.ops if _is_of_expression(op)]
    operation.ops[:] = [op for op in operation.ops if op not in outside]
    if operation.ops:
        for index in kept.get(operation.table_name, ()):
            outside += _operations(index, index)
    drops = [op for op in outside if isinstance(op, DropIndexOp)]
    creates = [op for op in outside if isinstance(op, CreateIndexOp)]
    return [*drops, *([operation] if operation.ops else []), *creates]


def _is_of_expression(operation: MigrateOperation) -> bool:
    if not isinstance(operation, CreateIndexOp | DropIndexOp):
        return False
    return not _is_plain(operation.to_index())


def _old_indexes(table: Table, definitions: dict[str, str]) -> dict[str, Index]:
    """Return the stored indexes, including those that SQLAlchemy does not reflect.

    SQLite's with an expression are missing; MySQL's lack the expressions.
    """
    reflected = {str(index.name): index for index in table.indexes if index.expressions}
    return {
        name: reflected[name] if name in reflected else _parse(name, definition, table)
        for name, definition in definitions.items()
    }


def _parse(name: str, definition: str, table: Table) -> Index:
    parts = DEFINITION.fullmatch(definition)
    unique, columns, where = parts.groups() if parts is not None else (None, definition, None)
    index = Index(name, text(columns), unique=bool(unique), _table=table)
    if where:
        index.dialect_kwargs["sqlite_where"] = text(where)
    return index


def _is_plain(index: Index | None) -> bool:
    return index is None or all(isinstance(item, Column) for item in index.expressions)


def _is_stored_as(connection: Connection, definition: str, index: Index, old: Index) -> bool | None:
    """Return whether this is the definition of an index, or None if the server rejects it."""
    names = connection.dialect.identifier_preparer
    assert index.table is not None  # noqa: S101
    assert old.table is not None  # noqa: S101
    sql = str(CreateIndex(index).compile(connection)).replace(" CONCURRENTLY", "", 1)
    name = names.format_index(index)
    start, _, body = sql.partition(f"INDEX {name} ON {names.format_table(index.table)} ")
    kind = start.removeprefix("CREATE ")
    normalize = stored_indexes.normalize
    if normalize(kind + body) == normalize(definition):
        return True
    values = {"name": name, "kind": kind, "body": body, "table": names.format_table(old.table)}
    try:
        with connection.begin_nested():
            for statement in stored_indexes.CREATE_COPY:
                connection.exec_driver_sql(statement.format(copy=COPY.name, **values))
            found = stored_indexes.read(connection, COPY, {})
            connection.exec_driver_sql(f"{dialect.DROP_TEMPORARY_TABLE} {COPY.name}")
    except DBAPIError as error:
        if dialect.is_permission_denied(error):
            raise
        return None
    return [*map(normalize, found.values())] == [normalize(definition)]


def _operations(old: Index | None, new: Index | None) -> list[MigrateOperation]:
    drop = [] if old is None else [DropIndexOp.from_index(old)]
    return [*drop, *([] if new is None else [CreateIndexOp.from_index(new)])]


def _set_operations(changes: ModifyTableOps, name: str, operations: list[MigrateOperation]) -> None:
    others = (op for op in changes.ops if getattr(op, "index_name", None) != name)
    changes.ops[:] = [*others, *operations]


PLUGIN = Plugin("app.core.migrations.indexes")
PLUGIN.add_autogenerate_comparator(
    compare_indexes, "table", "indexes", priority=DispatchPriority.LAST
)
