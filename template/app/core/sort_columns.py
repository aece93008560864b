"""The columns that pages are sorted by, and the values that they store."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy.types import NullType, TypeEngine

from app.core.models import Entity
from app.core.stored_types import below_decorators, conversions_of, stored_kind


@dataclass(frozen=True)
class SortColumn:
    """A column that pages are sorted by, and what it stores, below its TypeDecorators.

    The database compares stored values, whatever class a TypeDecorator converts them to.
    """

    name: str
    column: Any
    type: TypeEngine[Any]
    kind: Any
    conversions: tuple[Callable[[Any], Any], ...]

    def stored(self, value: Any) -> Any:
        """Return the stored value for a value of the attribute."""
        for convert in self.conversions:
            value = convert(value)
        return value


@cache
def sort_columns(model: type[Entity], order: str) -> tuple[SortColumn, ...]:
    """Return the columns of a sort order: the one it names, after `-` if descending, and the key.

    Raises TypeError if a column is missing or nullable, or a cursor cannot encode its values.
    """
    names = dict.fromkeys((order.removeprefix("-"), "id"))
    return tuple(_sort_column(name, find_column(model, name)) for name in names)


def find_column(model: type[Entity], name: str) -> Any:
    """Return the column of an attribute. Raises TypeError, with all names, if there is none."""
    columns = model.__mapper__.columns
    if name not in columns:
        known = ", ".join(sorted(columns.keys()))
        raise TypeError(f"{model.__name__} has no column {name!r}; its columns are: {known}")
    return columns[name]


def is_resolved(column: Any) -> bool:
    """Return whether the type is known; a foreign key may take it from a model imported later."""
    return not isinstance(column.type, NullType)


def _sort_column(name: str, column: Any) -> SortColumn:
    if getattr(column, "nullable", False):
        raise TypeError(
            f"{column} is nullable, and databases disagree on where NULL is sorted, so that pages"
            " would miss rows; make the column NOT NULL"
        )
    stored, decorators = below_decorators(column.type)
    try:
        kind = stored_kind(stored)
    except TypeError as error:
        raise TypeError(f"{column} has the type {column.type!r}: {error}") from None
    return SortColumn(name, column, stored, kind, conversions_of(stored, decorators))
