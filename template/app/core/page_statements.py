"""The statements of a page: by key, so that the last page costs no more than the first."""

import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select

from app.core.cursors import decode_cursor
from app.core.models import Entity
from app.core.pagination import PageQuery
from app.core.query_check import filter_condition
from app.core.sort_columns import SortColumn, sort_columns


def page_statement(
    model: type[Entity], query: PageQuery, selected: Callable[[type[Entity]], Select[Any]]
) -> tuple[Select[Any], dict[str, Any]]:
    """Return a statement for a page and one more row, in its sort order, and its parameters.

    Raises InvalidError for a cursor of another list or sort order, and for a forged one.
    """
    order, filters, after = query.order, query.filters, query.cursor is not None
    parameters = {f"filter_{name}": value for name, value in filters.items()}
    parameters["limit"] = query.limit + 1
    if query.cursor is not None:
        values = decode_cursor(model, order, query.cursor)
        parameters |= {f"after_{number}": value for number, value in enumerate(values)}
    key = (model, type(query), tuple(filters))
    return _page_statement(*key, selected, order, after=after), parameters


def total_statement(model: type[Entity], query: PageQuery) -> tuple[Select[int], dict[str, Any]]:
    """Return a statement that counts the rows of all pages, and its parameters."""
    filters = query.filters
    parameters = {f"filter_{name}": value for name, value in filters.items()}
    return _total_statement(model, type(query), tuple(filters)), parameters


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
        conditions.append(_beyond(by, descending=descending))
    directed = [one.column.desc() if descending else one.column for one in by]
    return selected(model).where(*conditions).order_by(*directed).limit(bindparam("limit"))


@lru_cache(maxsize=1000)
def _total_statement(
    model: type[Entity], query: type[PageQuery], filters: tuple[str, ...]
) -> Select[int]:
    conditions = [filter_condition(model, query, name) for name in filters]
    return select(func.count()).select_from(select(model).where(*conditions).subquery())


def _beyond(by: Sequence[SortColumn], *, descending: bool) -> ColumnElement[bool]:
    # Not a row comparison, for which MariaDB and MySQL do not use the index.
    beyond, not_before = (operator.lt, operator.le) if descending else (operator.gt, operator.ge)
    # With the stored type, because a TypeDecorator would convert the value again.
    pairs = [(one.column, bindparam(f"after_{n}", type_=one.type)) for n, one in enumerate(by)]
    *first, last = [beyond(*pair) for pair in pairs]
    return and_(not_before(*pairs[0]), or_(*first, last)) if first else last
