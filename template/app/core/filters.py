"""Filters of lists that are more than equality: ranges, membership, search."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from pydantic.fields import FieldInfo
from sqlalchemy import ColumnElement, String, type_coerce
from sqlalchemy.types import TypeDecorator

# Makes an SQL condition of a column and of the parameter that carries the value to compare with.
Condition: TypeAlias = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Filter:
    """How a field of a query class filters rows: `Annotated[…, Filter("price", operator.ge)]`.

    The condition is a comparison of the module `operator`, a function of this file, or any function
    that makes an SQL condition of a column and a bound value. With more than one column, it has to
    hold for one of them.
    """

    column: str | tuple[str, ...]
    condition: Condition

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if isinstance(self.column, str) else self.column


class NotAFilter:
    """What marks a field that the service itself handles: `Annotated[bool, NotAFilter()]`."""


def one_of(column: Any, values: Any) -> ColumnElement[bool]:
    """Filter by membership; the field is a list, which clients give as `?status=a&status=b`."""
    condition: ColumnElement[bool] = column.in_(values)
    return condition


def contains(column: Any, text: Any) -> ColumnElement[bool]:
    """Filter by a part of a text in any case; `%` and `_` stand for themselves."""
    condition: ColumnElement[bool] = column.ilike(type_coerce(text, Pattern("%", "%")), escape="/")
    return condition


def starts_with(column: Any, text: Any) -> ColumnElement[bool]:
    """Filter by how a text begins, as the database compares texts; `%` and `_` are themselves."""
    condition: ColumnElement[bool] = column.like(type_coerce(text, Pattern("", "%")), escape="/")
    return condition


class Pattern(TypeDecorator[str]):
    """Binds a text as a pattern of LIKE that matches it literally, between two others."""

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
    """Return what an annotation says of filtering, also within `Annotated[…] | None`."""
    metadata = [*field.metadata, *_nested(field.annotation)]
    return [one for one in metadata if isinstance(one, Filter | NotAFilter)]


def _nested(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _nested(inner)
