"""What `alembic revision --autogenerate` and `alembic check` compare, and what they write."""

import logging
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AlterColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrationScript,
    ModifyTableOps,
    OpContainer,
)
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Connection, DefaultClause, Identity, MetaData, Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core import migration_dialect

logger = logging.getLogger(__name__)


def is_shared(name: str | None, patterns: Iterable[str]) -> bool:
    """Return whether a table belongs to somebody else, as glob patterns say."""
    return any(fnmatchcase(name or "", pattern) for pattern in patterns)


def leave_alone(patterns: Iterable[str]) -> dict[str, Any]:
    """Return the filters that keep autogenerate from shared tables."""

    def include_name(name: str | None, kind: str, _parents: object) -> bool:
        if shared := kind == "table" and is_shared(name, patterns):
            logger.info("Left alone, as shared_tables in alembic.ini says: %s", name)
        return not shared

    def include_object(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or not is_shared(name, patterns)

    return {"include_name": include_name, "include_object": include_object}


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write types that are not SQLAlchemy's so that the revision runs.

    A decorated type becomes the type it stands on here, so that the revision does not import the
    application; the module of any other one is imported. Returns False for what Alembic renders:
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
    """
    module = type(item).__module__
    if kind != "type" or module.startswith(("sqlalchemy.", "alembic.")):
        return False
    if isinstance(item, TypeDecorator) and context.dialect is not None:
        return render._repr_type(_public(item.load_dialect_impl(context.dialect)), context)
    context.imports.add(f"import {module}")
    return False


def _public(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return a type without what a driver adds to it, which has no name to import."""
    if not type(kind).__module__.startswith("sqlalchemy."):
        return kind
    for cls in type(kind).__mro__:
        package = sys.modules[".".join(cls.__module__.split(".")[:3])]
        if hasattr(package, cls.__name__):
            return kind if cls is type(kind) else kind.adapt(cls)
    return kind


def compare_server_default(
    context: AutogenContext,
    change: AlterColumnOp,
    _schema: str | None,
    _table: str,
    _name: str,
    inspected: Column[Any],
    column: Column[Any],
) -> PriorityDispatchResult:
    """Note a default that differs, once the server has spelled both.

    A server keeps `now()`, `true` or `'it''s'` in its own words, which Alembic takes for a change
    on MariaDB, and cannot compare for JSON on PostgreSQL. So the default of the model goes through
    a temporary table first.
    """
    old, new = inspected.server_default, column.server_default
    if isinstance(new, Identity) and not getattr(context.dialect, "supports_identity_columns", 0):
        # There it means an ordinary key, which Alembic would take for a change for ever.
        return PriorityDispatchResult.STOP
    if not isinstance(new, DefaultClause) or not isinstance(old, DefaultClause | None):
        return PriorityDispatchResult.CONTINUE
    arg: Any = new.arg
    spelled = _spell(context.connection, Column("value", column.type, server_default=arg))
    change.existing_server_default = old
    found = getattr(old and old.arg, "text", None)
    # Alembic puts what it reads from SQLite between parentheses.
    if spelled is not UNKNOWN and found in (spelled, f"({spelled})"):
        return PriorityDispatchResult.STOP
    if not migration_dialect.OTHER_SPELLING_DIFFERS:
        return PriorityDispatchResult.CONTINUE
    change.modify_server_default = new
    return PriorityDispatchResult.STOP


UNKNOWN = object()


def _spell(connection: Connection | None, column: Column[Any]) -> object:
    """Return the server's words for a default, or UNKNOWN if it refuses it.

    It does that while a type or function is missing which the revision has yet to create.
    Raises DBAPIError if its user may not create temporary tables.
    """
    assert connection is not None  # noqa: S101
    table = Table("_server_default", MetaData(), column, prefixes=["TEMPORARY"])
    try:
        with connection.begin_nested():
            # The bare statement: Table.create and drop would do so to a native enum type, too.
            connection.execute(CreateTable(table))
            [reflected] = inspect(connection).get_columns(table.name)
            connection.exec_driver_sql(f"{migration_dialect.DROP_TEMPORARY_TABLE} {table.name}")
    except DBAPIError as error:
        if migration_dialect.is_denied(error):
            raise
        return UNKNOWN
    return reflected["default"]


# Not as an argument of `context.configure`: Alembic would fail on computed columns and identities.
PLUGIN = Plugin("app.core.autogenerate")
PLUGIN.add_autogenerate_comparator(
    compare_server_default, "column", "server_default", priority=DispatchPriority.FIRST
)


class Unwritten(list[MigrationScript]):
    """Revisions that `alembic check` can look at and `alembic revision` has nothing to write of."""

    def __iter__(self) -> Iterator[MigrationScript]:
        return iter(())


def process_revision(
    context: MigrationContext, _revision: object, scripts: list[MigrationScript]
) -> None:
    """Keep `revision --autogenerate` from writing what is empty, or what cannot run."""
    for script in scripts:
        for operations in (*script.upgrade_ops_list, *script.downgrade_ops_list):
            _drop_in_order(operations)
    caller = context.opts["revision_context"]
    unchanged = all(ops.is_empty() for script in scripts for ops in script.upgrade_ops_list)
    # Without autogenerate, the file is meant to be filled by hand.
    if unchanged and caller.command_args["autogenerate"]:
        # The well-known recipe, which empties `scripts`, makes `alembic check` fail.
        caller.generated_revisions = Unwritten(scripts)
        logger.info("No difference between models and database: no revision to write")


def _drop_in_order(operations: OpContainer) -> None:
    # MariaDB and MySQL refuse to drop an index before the foreign key that needs it.
    dropped = {(op.schema, op.table_name) for op in operations.ops if isinstance(op, DropTableOp)}

    def stays(op: object) -> bool:
        return not isinstance(op, DropIndexOp) or (op.schema, op.table_name) not in dropped

    def comes_later(op: object) -> bool:
        return not isinstance(op, DropConstraintOp) or op.constraint_type != "foreignkey"

    for op in operations.ops:
        if isinstance(op, ModifyTableOps):
            op.ops[:] = sorted(filter(stays, op.ops), key=comes_later)
    operations.ops[:] = [
        op
        for op in operations.ops
        if stays(op) and not (isinstance(op, ModifyTableOps) and op.is_empty())
    ]
