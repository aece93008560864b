"""The SQL statements of pages: by key, so that the last page costs as much as the first."""

import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select

from app.core.models import Entity
from app.core.pagination.cursors import SortColumn, decode_cursor, sort_columns
from app.core.pagination.pages import PageQuery
from app.core.pagination.query_check import filter_condition


def page_statement(
    model: type[Entity], query: PageQuery, selected: Callable[[type[Entity]], Select[Any]]
) -> tuple[Select[Any], dict[str, Any]]:
    """Return the statement for a page and one more row, and its parameters.

    Raises InvalidError for a cursor of another list or sort order, and for a forged one.
    """
    order, filters, after = query.order, query.filters, query.cursor is not None
    parameters = _filter_parameters(filters)
    parameters["limit"] = query.limit + 1
    if query.cursor is not None:
        values = decode_cursor(model, order, query.cursor)
        parameters |= {f"after_{number}": value for number, value in enumerate(values)}
    key = (model, type(query), tuple(filters))
    return _page_statement(*key, selected, order, after=after), parameters


def count_statement(model: type[Entity], query: PageQuery) -> tuple[Select[int], dict[str, Any]]:
    """Return the statement that counts the rows of all pages, and its parameters."""
    filters = query.filters
    return _count_statement(model, type(query), tuple(filters)), _filter_parameters(filters)


def _filter_parameters(filters: dict[str, Any]) -> dict[str, Any]:
    return {f"filter_{name}": value for name, value in filters.items()}


@lru_cache(maxsize=1000)
def _page_statement(
    model: type[Entity],
    query: type[PageQuery],
    filters: tuple[str, ...],
    selected: Callable[[type[Entity]], Select[Any]],
    order: str,
    *,
    after: bool,
) -> Select[Any]:
    by, descending = sort_columns(model, order), order.startswith("-")
    conditions = [filter_condition(model, query, name) for name in filters]
    if after:
        conditions.append(_after_cursor(by, descending=descending))
    directed = [one.column.desc() if descending else one.column for one in by]
    return selected(model).where(*conditions).order_by(*directed).limit(bindparam("limit"))


@lru_cache(maxsize=1000)
def _count_statement(
    model: type[Entity], query: type[PageQuery], filters: tuple[str, ...]
) -> Select[int]:
    conditions = [filter_condition(model, query, name) for name in filters]
    return select(func.count()).select_from(select(model).where(*conditions).subquery())


def _after_cursor(by: Sequence[SortColumn], *, descending: bool) -> ColumnElement[bool]:
    # Not a row comparison, for which MariaDB and MySQL do not use an index.
    after, not_before = (operator.lt, operator.le) if descending else (operator.gt, operator.ge)
    # The stored type: a TypeDecorator would convert the value twice.
    pairs = [(one.column, bindparam(f"after_{n}", type_=one.type)) for n, one in enumerate(by)]
    *first, last = [after(*pair) for pair in pairs]
    return and_(not_before(*pairs[0]), or_(*first, last)) if first else last
