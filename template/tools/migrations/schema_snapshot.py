"""All that a database contains, as lines that can be compared: schema objects and rows."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, event, inspect, select
from sqlalchemy.exc import SAWarning
from sqlalchemy.sql.elements import conv

from app.core.migrations import shared_table_patterns
from app.core.migrations.schemas import find_schemas
from app.core.settings import PROJECT_ROOT
from tools.migrations.schema_catalogue import complete, read_catalogue

VERSION_TABLE = "alembic_version"
ASPECTS = {
    "column": "get_columns",
    "foreign key": "get_foreign_keys",
    "index": "get_indexes",
    "unique constraint": "get_unique_constraints",
    "CHECK constraint": "get_check_constraints",
}


def take_snapshot(connection: Connection) -> list[str]:
    """Return a sorted line for each object that reflection or the server's catalogue shows.

    Rows are included, but not the version table of Alembic.
    """
    with _without_warnings():
        found = {*_reflected(connection), *_rows(connection)}
    found.update(
        f"{kind} {name}: {' '.join(definition.split())}"
        for kind, name, definition in read_catalogue(connection)
        if VERSION_TABLE not in name
    )
    connection.rollback()
    return sorted(found)


def reflect(connection: Connection) -> MetaData:
    """Return the tables of a database, as autogenerate needs them."""
    metadata = MetaData()
    adjust = MigrationContext.configure(connection).impl.autogen_column_reflect
    event.listen(metadata, "column_reflect", adjust)
    with _without_warnings():
        for schema in _schemas():
            metadata.reflect(connection, schema, only=lambda name, _: name != VERSION_TABLE)
    complete(connection, metadata)
    connection.rollback()
    for table in metadata.tables.values():
        for column in table.columns:
            if not column.primary_key:
                column.autoincrement = "auto"
        for constraint in table.constraints:
            if constraint.name:
                # Complete: the naming convention must not add a prefix.
                constraint.name = conv(str(constraint.name))
    return metadata


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore warnings of what SQLAlchemy cannot reflect: the catalogue shows it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        yield


def _reflected(connection: Connection) -> Iterator[str]:
    inspector = inspect(connection)
    tables = ((name, schema) for schema in _schemas() for name in inspector.get_table_names(schema))
    for table in tables:
        name = ".".join(filter(None, reversed(table)))
        if name == VERSION_TABLE:
            continue
        yield f"table {name}: primary key {inspector.get_pk_constraint(*table)}"
        for kind, read in ASPECTS.items():
            for item in getattr(inspector, read)(*table):
                yield f"table {name}: {kind} {_text(item)}"


@cache
def _schemas() -> list[str | None]:
    config = Config(PROJECT_ROOT / "alembic.ini")
    scripts = ScriptDirectory.from_config(config)
    return [None, *sorted(find_schemas(scripts, shared_table_patterns(config)))]


def _text(item: Any) -> str:
    """Return what was reflected as text; `repr` of a type has all its arguments."""
    return ", ".join(f"{name}={value!r}" for name, value in sorted(item.items()))


def _rows(connection: Connection) -> Iterator[str]:
    for table in reflect(connection).tables.values():
        for row in connection.execute(select(table)):
            yield f"row of {table.fullname}: {tuple(row)!r}"
