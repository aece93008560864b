"""Rows for every table of a database, whatever revision it has: made from what is reflected."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Connection, MetaData, Numeric, Table, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import sort_tables_and_constraints
from sqlalchemy.types import TypeEngine

# Where a made-up value will not do, for a CHECK constraint say: a function of the row's number.
EXAMPLES: dict[tuple[str, str], Callable[[int], Any]] = {
    # ("item", "status"): lambda number: "new",
}

# Beyond the keys that a revision's own rows or a sequence may have.
NUMBERS = (101, 102)
START = datetime(2026, 1, 1)  # noqa: DTZ001
Rows = dict[str, list[dict[str, Any]]]

# Another value for each number, for the sake of unique columns.
VALUES: dict[type, Callable[[int], Any]] = {
    bool: lambda number: number % 2 == 0,
    int: lambda number: number,
    float: float,
    bytes: lambda number: number.to_bytes(1),
    date: lambda number: START.date() + timedelta(days=number),
    time: lambda number: (START + timedelta(seconds=number)).time(),
    timedelta: lambda number: timedelta(days=number),
    UUID: lambda number: UUID(int=number),
    list: lambda _number: [],
}


def insert_rows(connection: Connection) -> None:
    """Put two rows into each table that has none."""
    tables = _reflect(connection)
    for table in tables:
        if not connection.scalar(select(func.count()).select_from(table)):
            for number in NUMBERS:
                _insert(connection, table, number)


def read_rows(connection: Connection) -> Rows:
    """Return all rows of all tables, ordered by what stands in them."""
    return {
        table.name: sorted(map(dict, connection.execute(select(table)).mappings()), key=str)
        for table in _reflect(connection)
    }


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


def _reflect(connection: Connection) -> list[Table]:
    """Return the tables, those that others refer to first, as far as there is such an order."""
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name != "alembic_version")
    ordered = sort_tables_and_constraints(metadata.tables.values())  # type: ignore[no-untyped-call]
    return [table for table, _ in ordered if table is not None]


def _insert(connection: Connection, table: Table, number: int) -> None:
    columns = [column for column in table.columns if _is_given(column)]
    try:
        row = {column.name: _value(connection, column, number) for column in columns}
        connection.execute(insert(table).values(row))
    except (DBAPIError, NotImplementedError) as error:
        error.add_note(f"No example of a row of {table}: add to EXAMPLES in {__file__}")
        raise


def _is_given(column: Column[Any]) -> bool:
    return column.computed is None and not (column.identity and column.identity.always)


def _value(connection: Connection, column: Column[Any], number: int) -> Any:
    if (column.table.name, column.name) in EXAMPLES:
        return EXAMPLES[column.table.name, column.name](number)
    for key in column.foreign_keys:
        # Either row, in the order of the keys, so that two columns refer to one row.
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
    if isinstance(kind, JSON):
        return {"number": number}
    python_type = kind.python_type
    if python_type is str:
        length = getattr(kind, "length", None) or 0
        uuid = UUID(int=number)
        return {32: uuid.hex, 36: str(uuid)}.get(length, str(number)[-length:])
    if python_type is datetime:
        moment = START + timedelta(days=number)
        return moment.replace(tzinfo=UTC if getattr(kind, "timezone", False) else None)
    if python_type is Decimal and isinstance(kind, Numeric):
        whole_digits = (kind.precision or 10) - (kind.scale or 0)
        return Decimal(number % 10**whole_digits)
    return VALUES[python_type](number)
