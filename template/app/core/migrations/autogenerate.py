"""What `alembic revision --autogenerate` and `alembic check` leave out, and what they write."""

import logging
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrationScript,
    ModifyTableOps,
    OpContainer,
)
from alembic.runtime.migration import MigrationContext
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core.migrations.indexes import keep_indexes

logger = logging.getLogger(__name__)


def is_shared(name: str | None, patterns: Iterable[str]) -> bool:
    """Return whether a table name matches one of the glob patterns of `shared_tables`."""
    return any(fnmatchcase(name or "", pattern) for pattern in patterns)


def exclude_tables(patterns: Iterable[str]) -> dict[str, Any]:
    """Return the arguments of `context.configure` that exclude shared tables."""

    def include_name(name: str | None, kind: str, _parents: object) -> bool:
        if shared := kind == "table" and is_shared(name, patterns):
            logger.info("Ignored table %s: it matches shared_tables in alembic.ini", name)
        return not shared

    def include_object(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or not is_shared(name, patterns)

    return {"include_name": include_name, "include_object": include_object}


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Return the code of a column type, or False to let Alembic render it.

    A TypeDecorator is rendered as the type that it wraps, so that revisions do not depend on
    application code; for other custom types, an import is added to the revision:
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
    """
    module = type(item).__module__
    if kind != "type" or module.startswith(("sqlalchemy.", "alembic.")):
        return False
    if isinstance(item, TypeDecorator) and context.dialect is not None:
        return render._repr_type(_public_type(item.load_dialect_impl(context.dialect)), context)
    context.imports.add(f"import {module}")
    return False


def _public_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that a driver's private subclass extends: one that can be imported."""
    if not type(kind).__module__.startswith("sqlalchemy."):
        return kind
    for cls in type(kind).__mro__:
        package = sys.modules[".".join(cls.__module__.split(".")[:3])]
        if hasattr(package, cls.__name__):
            return kind if cls is type(kind) else kind.adapt(cls)
    return kind


class SuppressedRevisions(list[MigrationScript]):
    """Revisions that `alembic check` can index but `alembic revision` does not iterate over."""

    def __iter__(self) -> Iterator[MigrationScript]:
        return iter(())


def process_revision(
    context: MigrationContext, _revision: object, scripts: list[MigrationScript]
) -> None:
    """Sort the operations, and suppress a revision that autogenerate found empty."""
    for script in scripts:
        for operations in (*script.upgrade_ops_list, *script.downgrade_ops_list):
            _sort_drops(operations)
        if context.opts["render_as_batch"]:
            keep_indexes(script)
    caller = context.opts["revision_context"]
    is_empty = all(ops.is_empty() for script in scripts for ops in script.upgrade_ops_list)
    # An empty revision without autogenerate is meant to be filled by hand.
    if is_empty and caller.command_args["autogenerate"]:
        # The usual recipe, to empty `scripts`, breaks `alembic check`.
        caller.generated_revisions = SuppressedRevisions(scripts)
        logger.info("Models and database do not differ: no revision written")


def _sort_drops(operations: OpContainer) -> None:
    """Drop foreign keys before indexes, and no index of a table that is dropped as a whole.

    MariaDB and MySQL refuse to drop an index that a foreign key still needs.
    """
    dropped = {(op.schema, op.table_name) for op in operations.ops if isinstance(op, DropTableOp)}

    def is_needed(op: object) -> bool:
        return not isinstance(op, DropIndexOp) or (op.schema, op.table_name) not in dropped

    def drops_foreign_key(op: object) -> bool:
        return isinstance(op, DropConstraintOp) and op.constraint_type == "foreignkey"

    for op in operations.ops:
        if isinstance(op, ModifyTableOps):
            op.ops[:] = sorted(filter(is_needed, op.ops), key=drops_foreign_key, reverse=True)
    operations.ops[:] = [
        op
        for op in operations.ops
        if is_needed(op) and not (isinstance(op, ModifyTableOps) and op.is_empty())
    ]
