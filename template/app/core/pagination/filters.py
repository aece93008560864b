"""Filters of lists by range, membership or search; a plain field filters by equality."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias, get_args

from pydantic.fields import FieldInfo
from sqlalchemy import ColumnElement, String, type_coerce
from sqlalchemy.types import TypeDecorator

# Returns an SQL condition for a column and the bound parameter to compare it with.
Condition: TypeAlias = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Filter:
    """How a field of a query class filters rows: `Annotated[…, Filter("price", operator.ge)]`.

    The condition is a comparison from `operator`, a function of this module, or any function that
    returns an SQL condition for a column and a bound parameter. Of several columns, at least one
    has to match.
    """

    column: str | tuple[str, ...]
    condition: Condition

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if isinstance(self.column, str) else self.column


class NotAFilter:
    """Marks a field that the service handles: `Annotated[bool, NotAFilter()]`."""


def one_of(column: Any, values: Any) -> ColumnElement[bool]:
    """Filter by membership; the field is a list that clients send as `?status=a&status=b`."""
    condition: ColumnElement[bool] = column.in_(values)
    return condition


def contains(column: Any, text: Any) -> ColumnElement[bool]:
    """Filter by a substring, ignoring case; `%` and `_` match literally."""
    condition: ColumnElement[bool] = column.ilike(type_coerce(text, Pattern("%", "%")), escape="/")
    return condition


def starts_with(column: Any, text: Any) -> ColumnElement[bool]:
    """Filter by a prefix, with the database's case rules; `%` and `_` match literally."""
    condition: ColumnElement[bool] = column.like(type_coerce(text, Pattern("", "%")), escape="/")
    return condition


class Pattern(TypeDecorator[str]):
    """Binds a text as an escaped LIKE pattern with a prefix and a suffix."""

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
    nested = (getattr(part, "__metadata__", ()) for part in annotation_parts(field.annotation))
    metadata = chain(field.metadata, *nested)
    return [one for one in metadata if isinstance(one, Filter | NotAFilter)]


def annotation_parts(annotation: Any) -> Iterator[Any]:
    """Return an annotation and everything nested in it."""
    yield annotation
    for inner in get_args(annotation):
        yield from annotation_parts(inner)
