"""Tables that are created only to be read back, as the server stores them."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeAlias, TypeVar

from sqlalchemy import CheckConstraint, Column, Connection, MetaData, PrimaryKeyConstraint, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import conv

from app.core.migrations import dialect

Found = TypeVar("Found")
# Reads tables, in their order.
Read: TypeAlias = Callable[[Connection, Sequence[Table]], Sequence[Found]]


def copy_table(table: Table, name: str) -> Table:
    """Return a temporary table with the columns and CHECK constraints of a model."""
    copy = table.to_metadata(MetaData(), schema=None, name=name)  # type: ignore[arg-type]
    copy._prefixes = ["TEMPORARY"]
    for column in copy.columns:
        column.primary_key = False
    copy.append_constraint(PrimaryKeyConstraint())
    copy.constraints = {item for item in copy.constraints if isinstance(item, CheckConstraint)}
    for number, check in enumerate(chain(copy.constraints, *(c.constraints for c in copy.columns))):
        check.name = conv(f"{name}_{number}")
    for option in list(copy.kwargs):
        # The others, such as a partition key, do not affect columns.
        if not option.endswith(("charset", "collate")):
            del copy.kwargs[option]
    return copy


def split_columns(table: Table) -> list[Table]:
    """Return a temporary table for each column of a model, without constraints."""
    copies = []
    for number, column in enumerate(table.columns):
        default = getattr(column.server_default, "arg", None)
        copy = Column(column.name, column.type, server_default=default)
        name = f"_stored_column_{number}"
        copies.append(Table(name, MetaData(), copy, prefixes=["TEMPORARY"]))
    return copies


def read_back(
    connection: Connection, tables: Sequence[Table], read: Read[Found]
) -> list[Found | None]:
    """Return what `read` finds in temporary tables, with None for each that the server rejects.

    It rejects one that needs a type or function that the new revision has yet to create.
    Raises DBAPIError if the database user may not create temporary tables.
    """
    try:
        return [*_create_and_read(connection, tables, read)]
    except DBAPIError as error:
        if dialect.is_permission_denied(error):
            raise
    if len(tables) == 1:
        return [None]
    middle = len(tables) // 2
    halves = tables[:middle], tables[middle:]
    return [found for half in halves for found in read_back(connection, half, read)]


def _create_and_read(
    connection: Connection, tables: Sequence[Table], read: Read[Found]
) -> Sequence[Found]:
    created: list[str] = []
    try:
        with connection.begin_nested() as savepoint:
            for table in tables:
                # Not Table.create, which would also create a native enum type.
                connection.execute(CreateTable(table))
                created.append(table.name)
            found = read(connection, tables)
            if dialect.ROLLS_BACK_DDL:
                savepoint.rollback()
    finally:
        if created and not dialect.ROLLS_BACK_DDL:
            connection.exec_driver_sql(f"DROP TEMPORARY TABLE {', '.join(created)}")
    return found
