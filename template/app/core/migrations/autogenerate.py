"""What `alembic revision --autogenerate` and `alembic check` leave out, and what they write."""

import logging
from collections.abc import Callable, Container, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext

from app.core.migrations import reflection
from app.core.migrations.created_tables import complete_tables
from app.core.migrations.operation_order import remove_needless_drops, sort_operations
from app.core.migrations.renames import comment_renames

logger = logging.getLogger(__name__)


def is_shared(name: str, patterns: Iterable[str], schema: str | None = None) -> bool:
    """Return whether `shared_tables` has a pattern that matches the table: name or schema.name."""
    names = [name, f"{schema}.{name}"] if schema else [name]
    return any(fnmatchcase(each, pattern) for each in names for pattern in patterns)


def exclude_tables(
    patterns: Iterable[str], find_schemas: Callable[[], Container[str]]
) -> dict[str, Any]:
    """Return the arguments of `context.configure` that exclude shared tables and other schemas."""

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name is None or name in find_schemas()
        if shared := kind == "table" and is_shared(name or "", patterns, parents["schema_name"]):
            table = parents["schema_qualified_table_name"]
            logger.info("Ignored table %s: it matches shared_tables in alembic.ini", table)
        return not shared

    def include_object(item: Any, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or not is_shared(name or "", patterns, item.schema)

    return {"include_name": include_name, "include_object": include_object}


class SuppressedRevisions(list[MigrationScript]):
    """Revisions that `alembic check` can index but `alembic revision` does not iterate over."""

    def __iter__(self) -> Iterator[MigrationScript]:
        return iter(())


def process_revision(
    context: MigrationContext, _revision: object, scripts: list[MigrationScript]
) -> None:
    """Sort and comment the operations; suppress a revision that autogenerate found empty."""
    caller = context.opts["revision_context"]
    for script in scripts:
        for upgrade, downgrade in zip(
            script.upgrade_ops_list, script.downgrade_ops_list, strict=True
        ):
            complete_tables(upgrade, context.opts["target_metadata"], context.dialect)
            sort_operations(upgrade, separate_keys=not context.opts["render_as_batch"])
            upgrade.reverse_into(downgrade)
            for operations in (upgrade, downgrade):
                remove_needless_drops(operations)
        comment_renames(caller._last_autogen_context, script)
        reflection.complete_operations(script)
    is_empty = all(ops.is_empty() for script in scripts for ops in script.upgrade_ops_list)
    # An empty revision without autogenerate is meant to be filled by hand.
    if is_empty and caller.command_args["autogenerate"]:
        # The usual recipe, to empty `scripts`, breaks `alembic check`.
        caller.generated_revisions = SuppressedRevisions(scripts)
        logger.info("Models and database do not differ: no revision written")
