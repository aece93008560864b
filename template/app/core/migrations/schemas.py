"""Tables outside the default schema: which schemas are compared, and which tables in them.

Alembic compares all schemas, including those of other applications, or only the default one:
https://github.com/sqlalchemy/alembic/issues/1428
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import UpgradeOps
from alembic.runtime.plugins import Plugin
from alembic.script import ScriptDirectory
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import Table

from app.core.migrations import dialect
from app.core.migrations.autogenerate import is_shared
from app.core.migrations.create_schema import create_missing_schemas
from app.core.models import Base

CREATED = re.compile(r"""\bCreateSchema\(\s*["']([^"']+)""")


def _tables_in_schemas(patterns: Iterable[str]) -> list[Table]:
    """Return the tables of models that name a schema, except shared ones."""
    tables = Base.metadata.tables.values()
    return [one for one in tables if one.schema and not is_shared(one.name, patterns, one.schema)]


def check_support(patterns: Iterable[str]) -> None:
    """Raise CommandError if a model names a schema that the database does not support."""
    if dialect.REASON_AGAINST_SCHEMAS and (tables := _tables_in_schemas(patterns)):
        table = tables[0]
        raise CommandError(
            f"Table {table.fullname}: the schema {table.schema!r} cannot be migrated:"
            f" {dialect.REASON_AGAINST_SCHEMAS}. Remove `schema` from the model and put it into the"
            f' name: __tablename__ = "{table.schema}_{table.name}". If another application owns'
            f" the table, add {table.fullname} to shared_tables in alembic.ini."
        )


def find_schemas(scripts: ScriptDirectory, patterns: Iterable[str]) -> set[str]:
    """Return the schemas that models name, and those that revisions of the project create.

    The latter contain tables to drop, even if no model names them any more. All others belong to
    other applications.
    """
    files = (Path(revision.path) for revision in scripts.walk_revisions())
    created = (CREATED.findall(file.read_text("utf-8")) for file in files)
    return {str(table.schema) for table in _tables_in_schemas(patterns)}.union(*created)


def reject_default_schema(
    context: AutogenContext, _operations: UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Raise CommandError if a foreign key refers to a table that names the default schema.

    Alembic would report it as changed every time: https://github.com/sqlalchemy/alembic/issues/1128
    """
    default = context.connection and context.connection.dialect.default_schema_name
    for table in context.table_key_to_table.values():
        for key in table.foreign_key_constraints:
            if key.referred_table.schema and key.referred_table.schema == default:
                raise CommandError(
                    f"Table {key.referred_table.fullname}: {default!r} is the default schema of the"
                    f" database, which the foreign keys of {table.fullname} must not name. Remove"
                    " `schema` from the model, and from the foreign keys that refer to it."
                )
    return PriorityDispatchResult.CONTINUE


def exclude_visible_tables(
    context: AutogenContext, _operations: UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Exclude tables that are only visible because their schema is in the search path.

    SQLAlchemy lists them with those of the default schema.
    """
    if not dialect.REASON_AGAINST_SCHEMAS and context.connection is not None:
        default = context.connection.dialect.default_schema_name
        tables = set(context.inspector.get_table_names(schema=default))

        def is_included(name: str | None, kind: str, parents: Any) -> bool:
            return kind != "table" or bool(parents["schema_name"]) or name in tables

        context._name_filters.append(is_included)
    return PriorityDispatchResult.CONTINUE


PLUGIN = Plugin("app.core.migrations.schemas")
PLUGIN.add_autogenerate_comparator(
    reject_default_schema, "schema", "default_schema", priority=DispatchPriority.FIRST
)
PLUGIN.add_autogenerate_comparator(
    exclude_visible_tables, "schema", "visible_tables", priority=DispatchPriority.FIRST
)
PLUGIN.add_autogenerate_comparator(
    create_missing_schemas, "schema", "missing_schemas", priority=DispatchPriority.LAST
)
