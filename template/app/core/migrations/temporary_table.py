"""How the server stores what a model declares: a temporary table is created and read back."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Inspector, Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from app.core.migrations import dialect

Found = TypeVar("Found")


class CreateTemporaryTable(CreateTable):
    """CREATE TEMPORARY TABLE, without foreign keys, which cannot refer to other tables."""

    def __init__(self, table: Table) -> None:
        super().__init__(table, include_foreign_key_constraints=[])


@compiles(CreateTemporaryTable)
def _compile(element: CreateTemporaryTable, compiler: Any, **options: Any) -> str:
    text: str = compiler.visit_create_table(element, **options)
    return text.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)


def read_back(
    connection: Connection, table: Table, read: Callable[[Inspector, str], Found]
) -> Found | None:
    """Return what `read` finds in a temporary table, or None if the server rejects the table.

    It rejects one that needs a type or function that the new revision has yet to create.
    Raises DBAPIError if the database user may not create temporary tables.
    """
    try:
        with connection.begin_nested():
            # Not Table.create and Table.drop, which would also create and drop a native enum type.
            connection.execute(CreateTemporaryTable(table))
            found = read(inspect(connection), table.name)
            connection.exec_driver_sql(f"{dialect.DROP_TEMPORARY_TABLE} {table.name}")
    except DBAPIError as error:
        if dialect.is_permission_denied(error):
            raise
        return None
    return found
