"""Cursors: the sort values of the last row of a page, opaque to clients."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy.types import TypeEngine

from app.core.errors import ErrorDetail, InvalidError
from app.core.models import Entity
from app.core.pagination.cursor_types import cursor_type, stored_type


@dataclass(frozen=True)
class SortColumn:
    """A column of a sort order, and the type that it stores, without TypeDecorators.

    The database compares stored values, which a TypeDecorator may convert for Python.
    """

    name: str
    column: Any
    type: TypeEngine[Any]
    cursor_type: Any
    conversions: tuple[Callable[[Any], Any], ...]

    def to_stored(self, value: Any) -> Any:
        """Return the stored value for a value of the attribute."""
        for convert in self.conversions:
            value = convert(value)
        return value


@cache
def sort_columns(model: type[Entity], order: str) -> tuple[SortColumn, ...]:
    """Return the column of a sort order, a name after `-` if descending, and the key.

    Raises TypeError if the column is missing or nullable, or a cursor cannot encode its values.
    """
    names = dict.fromkeys((order.removeprefix("-"), "id"))
    return tuple(_sort_column(name, find_column(model, name)) for name in names)


def find_column(model: type[Entity], name: str) -> Any:
    """Return the column of an attribute. Raises TypeError, which lists all, for an unknown one."""
    columns = model.__mapper__.columns
    if name not in columns:
        known = ", ".join(sorted(columns.keys()))
        raise TypeError(f"{model.__name__} has no column {name!r}; its columns are: {known}")
    return columns[name]


def _sort_column(name: str, column: Any) -> SortColumn:
    if getattr(column, "nullable", False):
        raise TypeError(
            f"{column} is nullable, and databases sort NULL differently, so pages would miss rows;"
            " make the column NOT NULL"
        )
    stored, conversions = stored_type(column.type)
    try:
        return SortColumn(name, column, stored, cursor_type(stored), conversions)
    except TypeError as error:
        raise TypeError(f"{column} has the type {column.type!r}: {error}") from None


def encode_cursor(model: type[Entity], order: str, row: object) -> str:
    """Return a cursor for the position of an entity or row in a sort order."""
    values = [one.to_stored(getattr(row, one.name)) for one in sort_columns(model, order)]
    return urlsafe_b64encode(to_json([order, *values])).rstrip(b"=").decode()


def decode_cursor(model: type[Entity], order: str, cursor: str) -> list[Any]:
    """Return the stored values in a cursor.

    Raises InvalidError for a cursor of another list or sort order, and for a forged one.
    """
    try:
        position = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return list(_cursor_adapter(model, order).validate_json(position, strict=True)[1:])
    except ValueError:
        raise InvalidError(
            f"Invalid cursor {cursor[:40]!r} for this list and sort order; omit `cursor` to start"
            " from the first page.",
            [ErrorDetail(location=["query", "cursor"], reason="is invalid for this sort order")],
        ) from None


@cache
def _cursor_adapter(model: type[Entity], order: str) -> TypeAdapter[tuple[Any, ...]]:
    types: Any = tuple(one.cursor_type for one in sort_columns(model, order))
    this_order: Any = Literal[order]
    return TypeAdapter(tuple[this_order, *types])
