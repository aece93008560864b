"""Filters of lists beyond equality: ranges, membership, search."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from pydantic.fields import FieldInfo
from sqlalchemy import ColumnElement, String, type_coerce
from sqlalchemy.types import TypeDecorator

# Returns an SQL condition for a column and a bound parameter with the value to compare it with.
Condition: TypeAlias = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Filter:
    """How a field of a query class filters rows: `Annotated[…, Filter("price", operator.ge)]`.

    The condition is a comparison from `operator`, a function from this module, or any function that
    returns an SQL condition for a column and a bound value. With more than one column, at least one
    has to match.
    """

    column: str | tuple[str, ...]
    condition: Condition

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if isinstance(self.column, str) else self.column


class NotAFilter:
    """Marks a field that the service itself handles: `Annotated[bool, NotAFilter()]`."""


def one_of(column: Any, values: Any) -> ColumnElement[bool]:
    """Filter by membership; the field is a list, which clients pass as `?status=a&status=b`."""
    condition: ColumnElement[bool] = column.in_(values)
    return condition


def contains(column: Any, text: Any) -> ColumnElement[bool]:
    """Filter by a substring, ignoring case; `%` and `_` match literally."""
    condition: ColumnElement[bool] = column.ilike(type_coerce(text, Pattern("%", "%")), escape="/")
    return condition


def starts_with(column: Any, text: Any) -> ColumnElement[bool]:
    """Filter by a prefix, by the database's case rules; `%` and `_` match literally."""
    condition: ColumnElement[bool] = column.like(type_coerce(text, Pattern("", "%")), escape="/")
    return condition


class Pattern(TypeDecorator[str]):
    """Binds a text as a LIKE pattern that matches it literally, between a prefix and a suffix."""

    impl = String
    cache_ok = True

    def __init__(self, before: str, after: str) -> None:
        super().__init__()
        self.before = before
        self.after = after

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        if value is None:
            return None
        for special in "/%_":
            value = value.replace(special, f"/{special}")
        return f"{self.before}{value}{self.after}"


def find_markers(field: FieldInfo) -> list[Filter | NotAFilter]:
    """Return the filter markers of an annotation, also inside `Annotated[…] | None`."""
    metadata = [*field.metadata, *_nested(field.annotation)]
    return [one for one in metadata if isinstance(one, Filter | NotAFilter)]


def _nested(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _nested(inner)
