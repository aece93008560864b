"""Definitions of indexes: of a model as the server stores it, and of a stored one as an object."""

import re
from collections.abc import Mapping

from sqlalchemy import Connection, Index, Table, text
from sqlalchemy.schema import CreateIndex

from app.core.migrations import stored_indexes
from app.core.migrations.temporary_tables import read_copy

COPY = "_stored_index"
# Such as `UNIQUE (lower(name)) WHERE deleted_at IS NULL`.
DEFINITION = re.compile(r"(UNIQUE )?\((.*?)\)(?: WHERE (.+))?", re.DOTALL)


def is_stored_as(connection: Connection, index: Index, definition: str, table: Table) -> bool:
    """Return whether the server stores an index of a model with this definition.

    Unless the texts are equal, the index is created on a temporary copy of the stored table. If the
    server rejects it, it needs something that the new revision has yet to create.
    Raises DBAPIError if the database user may not create temporary tables.
    """
    names = connection.dialect.identifier_preparer
    assert index.table is not None  # noqa: S101
    sql = str(CreateIndex(index).compile(connection)).replace(" CONCURRENTLY", "", 1)
    name = names.format_index(index)
    start, _, body = sql.partition(f"INDEX {name} ON {names.format_table(index.table)} ")
    kind = start.removeprefix("CREATE ")
    if stored_indexes.normalize(kind + body) == stored_indexes.normalize(definition):
        return True
    values = {"name": name, "kind": kind, "body": body, "table": names.format_table(table)}
    found = _read_back(connection, values)
    return found is not None and stored_indexes.normalize(found) == stored_indexes.normalize(
        definition
    )


def _read_back(connection: Connection, values: Mapping[str, str]) -> str | None:
    statements = (one.format(copy=COPY, **values) for one in stored_indexes.CREATE_COPY)
    return read_copy(
        connection, COPY, statements, lambda: stored_indexes.read_copy(connection, COPY)
    )


def parse_index(name: str, definition: str, table: Table) -> Index:
    """Return a stored index that SQLAlchemy does not reflect, such as SQLite's on expressions."""
    parts = DEFINITION.fullmatch(definition)
    unique, columns, where = parts.groups() if parts is not None else (None, definition, None)
    index = Index(name, text(columns), unique=bool(unique), _table=table)
    if where:
        index.dialect_kwargs["sqlite_where"] = text(where)
    return index
