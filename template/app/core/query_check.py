"""Checks that a query class sorts and filters by columns of its model."""

import operator
from collections.abc import Iterator
from datetime import date
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from sqlalchemy import ColumnElement, bindparam, or_

from app.core.filters import Filter, find_markers, one_of
from app.core.models import Entity, UtcDateTime
from app.core.pagination import PageQuery, filter_names
from app.core.sort_columns import find_column, is_resolved, sort_columns

WAYS_OUT = (
    'Name another column with Annotated[…, Filter("column", operator.eq)], or mark a field that'
    " the service itself handles with Annotated[…, NotAFilter()]; both are in app.core.filters."
)
# A condition of a module's own may convert the value or the column.
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, one_of)


def check_query(model: type[Entity], query: type[PageQuery]) -> None:
    """Raise TypeError, which says how to fix it, if a query class does not fit a model."""
    for name in filter_names(query):
        filter_condition(model, query, name)
    for order in _sort_values(query):
        try:
            if is_resolved(find_column(model, order.removeprefix("-"))):
                sort_columns(model, order)
        except TypeError as error:
            raise TypeError(f"{query.__name__}.sort {order!r}: {error}.") from None


def filter_condition(model: type[Entity], query: type[PageQuery], name: str) -> ColumnElement[bool]:
    """Return the condition of a field; its parameter is named `filter_` and the field's name.

    Raises TypeError, which says how to fix it, for a field without a column.
    """
    field = query.model_fields.get(name)
    markers = [one for one in find_markers(field) if isinstance(one, Filter)] if field else []
    by = markers[0] if markers else Filter(name, operator.eq)
    try:
        columns = [find_column(model, column) for column in by.columns]
    except TypeError as error:
        raise TypeError(f"{query.__name__}.{name}: {error}. {WAYS_OUT}") from None
    if not markers and field and _is_list(field.annotation) and not _is_list_type(columns[0]):
        raise TypeError(
            f"{query.__name__}.{name}: a list is never equal to a column; for membership, write"
            f' Annotated[…, Filter("{name}", one_of)]. Both are in app.core.filters.'
        )
    if field and by.condition in COMPARISONS and date in _parts(field.annotation):
        _refuse_datetimes(f"{query.__name__}.{name}", columns)
    return or_(*(by.condition(column, bindparam(f"filter_{name}")) for column in columns))


def _refuse_datetimes(field: str, columns: list[Any]) -> None:
    for column in columns:
        if isinstance(column.type, UtcDateTime):
            raise TypeError(
                f"{field}: a date cannot be compared with {column}, which stores date and time;"
                " annotate the field with AwareDatetime"
            )


def _is_list(annotation: Any) -> bool:
    return any(get_origin(one) in {list, set, tuple, frozenset} for one in _parts(annotation))


def _is_list_type(column: Any) -> bool:
    try:
        return column.type.python_type in {list, object}
    except NotImplementedError:
        # Unknown, so that nothing says that it is wrong.
        return True


def _sort_values(query: type[PageQuery]) -> Iterator[str]:
    if "sort" not in query.model_fields:
        return
    values = [*_choices(query.model_fields["sort"].annotation)]
    if not values:
        raise TypeError(f"{query.__name__}.sort: expected a Literal or a StrEnum of column names")
    yield from values


def _choices(annotation: Any) -> Iterator[str]:
    for one in _parts(annotation):
        if get_origin(one) is Literal:
            yield from get_args(one)
        elif isinstance(one, type) and issubclass(one, Enum) and issubclass(one, str):
            yield from (member.value for member in one)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _parts(inner)
