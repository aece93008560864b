"""How autogenerate compares column types: in the spelling in which the server stores them."""

import re
from collections.abc import Callable
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from app.core.migrations.server_defaults import stored_column

# How MariaDB displays integers; it has no effect on what they store.
DISPLAY_WIDTH = re.compile(r"(?<=INT|GER)\(\d+\)")


class SpelledType(UserDefinedType[Any]):
    """A type as it is written in SQL, without the CHECK constraint of a Boolean or an Enum."""

    cache_ok = True

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def get_col_spec(self, **_: Any) -> str:
        return self.sql


def type_comparator() -> Callable[..., bool]:
    """Return a function that returns whether a type has changed, for `context.configure`.

    Servers rewrite types: MariaDB stores `FLOAT(53)` as `DOUBLE`, and `BLOB(255)` as `TINYBLOB`,
    which Alembic reports as changed every time. Alembic also misses changes, such as those from
    `VARCHAR` to `VARCHAR(20)`, and of a collation. Therefore each type that the server may have
    rewritten is stored in a temporary table, once, and read back. If the server rejects it, such as
    one that the new revision has yet to create, Alembic decides.
    https://github.com/sqlalchemy/alembic/issues/475
    """
    stored: dict[tuple[object, ...], str] = {}

    def compare_type(
        context: MigrationContext,
        inspected: Column[Any],
        column: Column[Any],
        old: TypeEngine[Any],
        new: TypeEngine[Any],
    ) -> bool:
        current, wanted = _spelling(old, context), _spelling(new, context)
        options = _text_options(inspected)
        key = (wanted, *options.items())
        if wanted == current or stored.get(key) == current:
            return False
        if key not in stored:
            found = stored_column(context.connection, Column("v", SpelledType(wanted)), **options)
            if found is None:
                return context.impl.compare_type(inspected, column)
            stored[key] = _spelling(found["type"], context)
        return stored[key] != current

    return compare_type


def _spelling(kind: TypeEngine[Any], context: MigrationContext) -> str:
    if isinstance(kind, NullType):  # unknown to SQLAlchemy
        return ""
    return DISPLAY_WIDTH.sub("", kind.compile(context.dialect))


def _text_options(column: Column[Any]) -> dict[str, Any]:
    """Return the options of a table that decide how MariaDB and MySQL store its text."""
    options = column.table.kwargs.items()
    return {name: value for name, value in options if name.endswith(("charset", "collate"))}
