"""Checks that query classes sort and filter by columns of their models."""

import operator
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from sqlalchemy import ColumnElement, bindparam, or_
from sqlalchemy.types import NullType

from app.core.models import Entity, UtcDateTime
from app.core.pagination.cursors import find_column, sort_columns
from app.core.pagination.filters import Filter, annotation_parts, find_markers, one_of
from app.core.pagination.pages import PageQuery, filter_names

MODULES = "app.modules."
HINT = (
    'Name another column with Annotated[…, Filter("column", operator.eq)], or mark a field that'
    " the service handles with Annotated[…, NotAFilter()]; import both from app.core.pagination."
)
# Custom conditions may convert the value or the column.
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, one_of)


def check_queries(repository: type[Any]) -> None:
    """Raise TypeError if a query class does not fit the only repository of its module.

    For modules whose repository, a subclass of `repository`, does not set `page_query`.
    """
    queries = _by_module(PageQuery)
    for module, found in _by_module(repository).items():
        mapped = [one for one in found if hasattr(getattr(one, "model", None), "__mapper__")]
        # With several repositories, a query class may belong to any of them.
        if len(mapped) == 1 and mapped[0].page_query is PageQuery:
            for query in queries.get(module, ()):
                check_query(mapped[0].model, query)


def _by_module(base: type[Any]) -> dict[str, list[type[Any]]]:
    """Return the subclasses of a class that modules define, by module."""
    found = defaultdict(list)
    pending = base.__subclasses__()
    while pending:
        one = pending.pop()
        pending += one.__subclasses__()
        if one.__module__.startswith(MODULES):
            found[one.__module__.removeprefix(MODULES).partition(".")[0]].append(one)
    return found


def check_query(model: type[Entity], query: type[PageQuery]) -> None:
    """Raise TypeError, which says how to fix it, if a query class does not fit a model."""
    for name in filter_names(query):
        filter_condition(model, query, name)
    for order in _sort_values(query):
        try:
            # A foreign key may get its type from a model that is imported later.
            if not isinstance(find_column(model, order.removeprefix("-")).type, NullType):
                sort_columns(model, order)
        except TypeError as error:
            raise TypeError(f"{query.__name__}.sort {order!r}: {error}.") from None


def filter_condition(model: type[Entity], query: type[PageQuery], name: str) -> ColumnElement[bool]:
    """Return the condition of a field, whose parameter is named `filter_<field>`.

    Raises TypeError, which says how to fix it, for a field without a column.
    """
    field = query.model_fields.get(name)
    markers = [one for one in find_markers(field) if isinstance(one, Filter)] if field else []
    by = markers[0] if markers else Filter(name, operator.eq)
    parts = list(annotation_parts(field.annotation)) if field else []
    try:
        columns = [find_column(model, column) for column in by.columns]
    except TypeError as error:
        raise TypeError(f"{query.__name__}.{name}: {error}. {HINT}") from None
    is_list = any(get_origin(part) in {list, set, tuple, frozenset} for part in parts)
    if is_list and not markers and not _may_store_list(columns[0]):
        raise TypeError(
            f"{query.__name__}.{name}: a list is never equal to a column; for membership, use"
            f' Annotated[…, Filter("{name}", one_of)]; import both from app.core.pagination.'
        )
    if date in parts and by.condition in COMPARISONS:
        _check_not_datetime(f"{query.__name__}.{name}", columns)
    return or_(*(by.condition(column, bindparam(f"filter_{name}")) for column in columns))


def _check_not_datetime(field: str, columns: list[Any]) -> None:
    for column in columns:
        if isinstance(column.type, UtcDateTime):
            raise TypeError(
                f"{field}: a date cannot be compared with the datetime column {column}; annotate"
                " the field with AwareDatetime"
            )


def _may_store_list(column: Any) -> bool:
    try:
        return column.type.python_type in {list, object}
    except NotImplementedError:
        # The type is unknown.
        return True


def _sort_values(query: type[PageQuery]) -> Iterator[str]:
    if "sort" not in query.model_fields:
        return
    values = [*_choices(query.model_fields["sort"].annotation)]
    if not values:
        raise TypeError(f"{query.__name__}.sort: expected a Literal or a StrEnum of column names")
    yield from values


def _choices(annotation: Any) -> Iterator[str]:
    for one in annotation_parts(annotation):
        if get_origin(one) is Literal:
            yield from get_args(one)
        elif isinstance(one, type) and issubclass(one, Enum) and issubclass(one, str):
            yield from (member.value for member in one)
