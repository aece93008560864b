"""Tables that are created only to be read back, as the server stores them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import CheckConstraint, Column, Connection, Dialect, Identity, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn, CreateTable

from app.core.migrations import dialect

Found = TypeVar("Found")
Read: TypeAlias = Callable[[Connection, Mapping[str, Table]], dict[str, Found]]


class CreateTemporaryTable(CreateTable):
    """CREATE TEMPORARY TABLE by another name: columns and CHECK constraints, but no keys.

    Foreign keys cannot refer to other tables, and the rest would take most of the time.
    """

    def __init__(self, table: Table, name: str) -> None:
        super().__init__(table)
        self.name = name


@compiles(CreateTemporaryTable)
def _compile(element: CreateTemporaryTable, compiler: Any, **_: Any) -> str:
    table = element.element
    columns = (_without_numbers(column, compiler.dialect) for column in table.columns)
    checks = (item for item in table.constraints if isinstance(item, CheckConstraint))
    items = [compiler.process(CreateColumn(column)) for column in columns if not column.system]
    items += [compiler.process(one) for one in checks if one._should_create_for_compiler(compiler)]
    # Only those of MariaDB and MySQL, such as the character set, affect columns.
    is_mysql = compiler.dialect.name in ("mysql", "mariadb")
    options = compiler.post_create_table(table) if is_mysql else ""
    # Lines as SQLAlchemy writes them: on SQLite, it reflects expressions by searching the text.
    lines = ", \n\t".join(items)
    return f"CREATE TEMPORARY TABLE {element.name} (\n\t{lines}\n){options}"


def _without_numbers(column: Column[Any], dialect: Dialect) -> Column[Any]:
    """Return a column without a sequence, or the AUTO_INCREMENT that needs a key."""
    default = column.server_default
    is_identity = isinstance(default, Identity) and not dialect.supports_identity_columns
    if column is column.table._autoincrement_column and (default is None or is_identity):
        return Column(column.name, column.type, nullable=False)
    return column


def read_back(
    connection: Connection, tables: Mapping[str, Table], read: Read[Found]
) -> dict[str, Found]:
    """Create tables by other names, and return what `read` finds, without what is rejected.

    The server rejects what needs a type or function that the new revision has yet to create.
    Raises DBAPIError if the database user may not create temporary tables.
    """
    try:
        return _create_and_read(connection, tables, read)
    except DBAPIError as error:
        if dialect.is_permission_denied(error):
            raise
    if len(tables) == 1:
        return {}
    names = list(tables)
    found: dict[str, Found] = {}
    for half in (names[::2], names[1::2]):
        found |= read_back(connection, {name: tables[name] for name in half}, read)
    return found


def _create_and_read(
    connection: Connection, tables: Mapping[str, Table], read: Read[Found]
) -> dict[str, Found]:
    created: list[str] = []
    try:
        with connection.begin_nested() as savepoint:
            for name, table in tables.items():
                # Not Table.create, which would also create a native enum type.
                connection.execute(CreateTemporaryTable(table, name))
                created.append(name)
            found = read(connection, tables)
            if dialect.ROLLS_BACK_DDL:
                savepoint.rollback()
    finally:
        if created and not dialect.ROLLS_BACK_DDL:
            connection.exec_driver_sql(f"DROP TEMPORARY TABLE {', '.join(created)}")
    return found


def read_copy(
    connection: Connection, name: str, statements: Iterable[str], read: Callable[[], object]
) -> str | None:
    """Execute statements that create a temporary table and what is on it; return what `read` finds.

    None if the server rejects them, as it does what the new revision has yet to make possible.
    Raises DBAPIError if the database user may not create temporary tables.
    """
    try:
        with connection.begin_nested() as savepoint:
            for statement in statements:
                connection.exec_driver_sql(statement)
            found = str(read())
            if dialect.ROLLS_BACK_DDL:
                savepoint.rollback()
            else:
                connection.exec_driver_sql(f"DROP TEMPORARY TABLE {name}")
    except DBAPIError as error:
        if dialect.is_permission_denied(error):
            raise
        return None
    return found
