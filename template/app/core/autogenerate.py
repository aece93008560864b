"""What `alembic revision --autogenerate` and `alembic check` compare, and what they write."""

import logging
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, DefaultClause, MetaData, Table, inspect
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeDecorator

from app.core import migration_dialect

logger = logging.getLogger(__name__)


def leave_alone(patterns: Iterable[str]) -> dict[str, Any]:
    """Return the filters that keep autogenerate from tables whose names match a glob pattern."""

    def is_shared(name: str | None, kind: str) -> bool:
        return kind == "table" and any(fnmatchcase(name or "", glob) for glob in patterns)

    def include_name(name: str | None, kind: str, _parents: object) -> bool:
        if shared := is_shared(name, kind):
            logger.info("Left alone, as shared_tables in alembic.ini says: %s", name)
        return not shared

    def include_object(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return not is_shared(name, kind)

    return {"include_name": include_name, "include_object": include_object}


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write a decorated type as the type it stands on, so that no revision imports the application.

    Returns False for everything that Alembic renders itself:
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
    """
    ours = isinstance(item, TypeDecorator) and not type(item).__module__.startswith("sqlalchemy.")
    if kind != "type" or not ours:
        return False
    return render._repr_type(item.impl_instance, context)


def compare_server_default(
    context: MigrationContext,
    _inspected_column: Column[Any],
    column: Column[Any],
    inspected: str | None,
    default: Any,
    _rendered: str | None,
) -> bool | None:
    """Return whether a default differs, once the server has spelled both; None asks Alembic.

    A server keeps `now()`, `true` or `'it''s'` in its own words, which Alembic takes for a change
    on MariaDB, and cannot compare for JSON on PostgreSQL. So the default of the model goes through
    a temporary table first.
    """
    if not isinstance(default, DefaultClause) or context.connection is None:
        return None
    text: Any = default.arg
    spelled = _spell(context.connection, Column("value", column.type, server_default=text))
    # Alembic puts what it reads from SQLite between parentheses.
    if inspected in (spelled, f"({spelled})"):
        return False
    return migration_dialect.OTHER_SPELLING_DIFFERS


def _spell(connection: Connection, column: Column[Any]) -> str | None:
    table = Table("_server_default", MetaData(), column, prefixes=["TEMPORARY"])
    # The bare statement: Table.create would also create, and drop would drop, a native enum type.
    connection.execute(CreateTable(table))
    try:
        [reflected] = inspect(connection).get_columns(table.name)
    finally:
        connection.exec_driver_sql(f"{migration_dialect.DROP_TEMPORARY_TABLE} {table.name}")
    return reflected["default"]


class Unwritten(list[MigrationScript]):
    """Revisions that `alembic check` can look at and `alembic revision` has nothing to write of."""

    def __iter__(self) -> Iterator[MigrationScript]:
        return iter(())


def write_no_empty_revision(
    context: MigrationContext, _revision: object, scripts: list[MigrationScript]
) -> None:
    """Keep `revision --autogenerate` from writing a file without changes, and say so.

    The well-known recipe, which empties `scripts`, makes `alembic check` fail:
    https://github.com/sqlalchemy/alembic/discussions/1180
    """
    caller = context.opts["revision_context"]
    unchanged = all(ops.is_empty() for script in scripts for ops in script.upgrade_ops_list)
    # Without autogenerate, the file is meant to be filled by hand.
    if unchanged and caller.command_args["autogenerate"]:
        caller.generated_revisions = Unwritten(scripts)
        logger.info("No difference between models and database: no revision to write")
