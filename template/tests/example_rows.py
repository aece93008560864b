"""Rows for every table of a database, whatever revision it has: made from what is reflected."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, MetaData, insert, select
from sqlalchemy.types import TypeEngine

ROWS = (1, 2)
Rows = dict[str, list[dict[str, Any]]]

# One value for each number, and never one twice, for the sake of unique columns.
VALUES: dict[type, Callable[[int], Any]] = {
    bool: lambda number: number == 1,
    int: lambda number: number,
    float: float,
    Decimal: Decimal,
    bytes: lambda number: bytes([number]),
    date: lambda number: date(2026, 1, number),
    time: time,
    timedelta: lambda number: timedelta(days=number),
    UUID: lambda number: UUID(int=number),
    dict: lambda number: {"number": number},
    list: lambda _number: [],
}


def insert_rows(connection: Connection) -> None:
    """Put two rows into each table; a foreign key refers to the row of the same number."""
    for table in _reflect(connection).sorted_tables:
        columns = [c for c in table.columns if c.computed is None and c.identity is None]
        for number in ROWS:
            row = {column.name: _value(column, number) for column in columns}
            connection.execute(insert(table).values(row))


def read_rows(connection: Connection) -> Rows:
    """Return all rows of all tables, ordered by what stands in them."""
    return {
        table.name: sorted(map(dict, connection.execute(select(table)).mappings()), key=str)
        for table in _reflect(connection).sorted_tables
    }


def delete_rows(connection: Connection) -> None:
    for table in reversed(_reflect(connection).sorted_tables):
        connection.execute(table.delete())


def in_common(rows: Rows, *others: Rows) -> Rows:
    """Return `rows` without the tables and columns that one of the others does not have."""
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


def _reflect(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name != "alembic_version")
    return metadata


def _value(column: Column[Any], number: int) -> Any:
    for key in column.foreign_keys:
        if key.column is not column:
            return _value(key.column, number)
    try:
        return _example(column.type, number)
    except (KeyError, NotImplementedError):
        if column.nullable or column.server_default is not None:
            return None
        raise NotImplementedError(
            f"no example of {column.type!r}, the type of {column}; add one to {__file__}"
        ) from None


def _example(kind: TypeEngine[Any], number: int) -> Any:
    if choices := getattr(kind, "enums", None):
        return choices[number % len(choices)]
    python_type = kind.python_type
    if python_type is str:
        length = getattr(kind, "length", None)
        return {32: UUID(int=number).hex, 36: str(UUID(int=number))}.get(length or 0, str(number))
    if python_type is datetime:
        return datetime(2026, 1, number, tzinfo=UTC if getattr(kind, "timezone", False) else None)
    return VALUES[python_type](number)
