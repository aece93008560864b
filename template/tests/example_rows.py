"""Example rows for the tables of a database at any revision, derived from its reflected schema."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, Connection, MetaData, Numeric, Table, func, insert, select
from sqlalchemy.exc import CircularDependencyError, DBAPIError
from sqlalchemy.schema import sort_tables_and_constraints
from sqlalchemy.types import TypeEngine

from app.core.migrations import shared_table_patterns
from app.core.migrations.schemas import find_schemas
from app.core.settings import PROJECT_ROOT

# Values for columns that reject the default example, for instance because of a CHECK constraint:
# a function of the row number.
EXAMPLES: dict[tuple[str, str], Callable[[int], Any]] = {
    # ("item", "status"): lambda number: "new",
}

# Greater than the keys of rows that a revision inserts, or of a sequence.
NUMBERS = (101, 102)
START = datetime(2026, 1, 1)  # noqa: DTZ001
Rows = dict[str, list[dict[str, Any]]]

# A different value for each number, for unique columns.
VALUES: dict[type, Callable[[int], Any]] = {
    bool: lambda number: number % 2 == 0,
    int: lambda number: number,
    float: float,
    Decimal: Decimal,
    bytes: lambda number: number.to_bytes(1),
    date: lambda number: START.date() + timedelta(days=number),
    time: lambda number: (START + timedelta(seconds=number)).time(),
    timedelta: lambda number: timedelta(days=number),
    UUID: lambda number: UUID(int=number),
    list: lambda _number: [],
}
# For types of PostgreSQL without a Python type.
NAMED_TYPES: dict[str, Callable[[int], Any]] = {
    "CIDR": lambda number: f"10.0.{number}.0/24",
    "INET": lambda number: f"10.0.0.{number}",
    "MACADDR": lambda number: f"00:00:00:00:00:{number:02x}",
    "TSVECTOR": str,
}


def insert_rows(connection: Connection) -> None:
    """Insert two rows into each empty table."""
    tables = _reflect(connection)
    for table in tables:
        if not connection.scalar(select(func.count()).select_from(table)):
            for number in NUMBERS:
                _insert(connection, table, number)


def read_rows(connection: Connection) -> Rows:
    """Return all rows of all tables, sorted by their values."""
    return {
        table.key: sorted(map(dict, connection.execute(select(table)).mappings()), key=str)
        for table in _reflect(connection)
    }


def in_common(rows: Rows, *others: Rows) -> Rows:
    """Return `rows` with only the tables and columns that all others have, too."""
    return {
        table: [
            {
                name: value
                for name, value in row.items()
                if all(name in there for other in others for there in other[table][:1])
            }
            for row in rows[table]
        ]
        for table in rows
        if all(table in other for other in others)
    }


def _reflect(connection: Connection) -> list[Table]:
    """Return the tables, parents before children unless they refer to each other."""
    metadata = MetaData()
    for schema in (None, *_schemas()):
        metadata.reflect(connection, schema, only=lambda name, _: name != "alembic_version")
    tables = metadata.tables.values()
    try:
        # In a cycle, a key that may be NULL is the one to leave empty.
        needed = [edge for table in tables for edge in _required_parents(table)]
        ordered = sort_tables_and_constraints(tables, extra_dependencies=needed)  # type: ignore[no-untyped-call]
    except CircularDependencyError:
        ordered = sort_tables_and_constraints(tables)  # type: ignore[no-untyped-call]
    return [table for table, _ in ordered if table is not None]


def _required_parents(table: Table) -> Iterator[tuple[Table, Table]]:
    for key in table.foreign_key_constraints:
        if key.referred_table is not table and not any(column.nullable for column in key.columns):
            yield key.referred_table, table


@cache
def _schemas() -> set[str]:
    config = Config(PROJECT_ROOT / "alembic.ini")
    return find_schemas(ScriptDirectory.from_config(config), shared_table_patterns(config))


def _insert(connection: Connection, table: Table, number: int) -> None:
    columns = [column for column in table.columns if _is_insertable(column)]
    try:
        row = {column.name: _value(connection, column, number) for column in columns}
        connection.execute(insert(table).values(row))
    except (DBAPIError, NotImplementedError) as error:
        error.add_note(f"No valid example row for {table}: add values to EXAMPLES in {__file__}")
        raise


def _is_insertable(column: Column[Any]) -> bool:
    return column.computed is None and not (column.identity and column.identity.always)


def _value(connection: Connection, column: Column[Any], number: int) -> Any:
    if (column.table.key, column.name) in EXAMPLES:
        return EXAMPLES[column.table.key, column.name](number)
    for key in column.foreign_keys:
        # In key order, so that two foreign keys to one table refer to the same row.
        rows = select(key.column).order_by(*key.column.table.primary_key.columns)
        found = connection.scalars(rows).all()
        if found or column.nullable:
            return found[number % len(found)] if found else None
    try:
        return _example(column.type, number)
    except (KeyError, NotImplementedError):
        if column.nullable:
            return None
        raise NotImplementedError(f"{column.type!r}, the type of {column}") from None


def _example(kind: TypeEngine[Any], number: int) -> Any:
    if choices := getattr(kind, "enums", None):
        return choices[number % len(choices)]
    # TINYINT(1), the Boolean of MariaDB and MySQL, which a CHECK constraint may limit to 0 and 1.
    if getattr(kind, "display_width", None) == 1:
        return number % 2
    if isinstance(kind, JSON):
        return {"number": number}
    if (name := type(kind).__name__) in NAMED_TYPES:
        return NAMED_TYPES[name](number)
    python_type = kind.python_type
    if python_type is str:
        length = getattr(kind, "length", None) or 0
        uuid = UUID(int=number)
        return {32: uuid.hex, 36: str(uuid)}.get(length, str(number)[-length:])
    if python_type is datetime:
        value = START + timedelta(days=number)
        return value.replace(tzinfo=UTC if getattr(kind, "timezone", False) else None)
    if python_type is Decimal and isinstance(kind, Numeric):
        whole_digits = (kind.precision or 10) - (kind.scale or 0)
        return Decimal(number % 10**whole_digits)
    return VALUES[python_type](number)
