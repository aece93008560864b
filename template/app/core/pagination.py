"""How lists are cut into pages: by key, so that the last page costs what the first does."""

import binascii
import operator
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from sqlalchemy import ColumnElement, Select, and_, bindparam, or_

from app.core.errors import InvalidError, Reason
from app.core.models import Entity
from app.core.schemas import WriteSchema, storable

ItemT = TypeVar("ItemT")
Read = TypeVar("Read", bound=BaseModel)


class PageQuery(WriteSchema):
    """The query parameters of a page; an unknown one is an error, never ignored.

    A module's own class declares what its lists can be sorted and filtered by: `sort`, a `Literal`
    of column names, each also with `-` before it for descending order; and one field for each
    column that must be equal to a value. Sort only by columns that have an index and are never
    null.
    """

    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = Field(
        default=None,
        max_length=2000,
        description="`next_cursor` of the page before",
        json_schema_extra={"format": "cursor"},
    )
    total: bool = Field(default=False, description="Count all, on all pages, which takes time")

    @property
    def order(self) -> str:
        """The column that comes first in the order, after `-` if it descends."""
        return getattr(self, "sort", "id")

    @property
    def filters(self) -> dict[str, Any]:
        """The values that columns must be equal to, by column."""
        others = {*PageQuery.model_fields, "sort"}
        return {n: value for n, value in self if n not in others and value is not None}


PageQueryDep = Annotated[PageQuery, Query()]


@dataclass(frozen=True)
class Slice(Generic[ItemT]):
    """The entities, or rows, of one page."""

    items: Sequence[ItemT]
    next_cursor: str | None
    next: str | None
    total: int | None

    @classmethod
    def cut(
        cls, found: Sequence[ItemT], query: PageQuery, total: int | None = None
    ) -> "Slice[ItemT]":
        """Cut off what is over the limit; its presence tells that there is a next page."""
        items = found[: query.limit]
        if len(found) <= query.limit:
            return cls(items, None, None, total)
        cursor = encode_cursor(query.order, items[-1])
        given = query.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        return cls(items, cursor, f"?{urlencode(given | {'cursor': cursor}, doseq=True)}", total)


class Page(BaseModel, Generic[Read]):
    """The response that carries one page."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Read]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one")
    next: str | None = Field(
        description="Link to the next page, relative to this one's; null on the last one"
    )
    total: int | None = Field(description="How many there are on all pages; null unless asked for")


def page_statement(
    model: type[Entity], query: PageQuery, selected: Callable[[type[Entity]], Select[Any]]
) -> tuple[Select[Any], dict[str, Any]]:
    """Return a statement for one page and one more, in the order asked for, and its parameters.

    Raises InvalidError for a cursor that no page of this order gave.
    """
    filters = query.filters
    parameters = {f"filter_{name}": value for name, value in filters.items()}
    parameters["limit"] = query.limit + 1
    if query.cursor is not None:
        values = decode_cursor(query.cursor, query.order, model)
        parameters |= {f"after_{number}": value for number, value in enumerate(values)}
    order, after = query.order, query.cursor is not None
    return _page_statement(model, selected, order, tuple(filters), after=after), parameters


@lru_cache(maxsize=1000)
def _page_statement(
    model: type[Entity],
    selected: Callable[[type[Entity]], Select[Any]],
    order: str,
    filters: tuple[str, ...],
    *,
    after: bool,
) -> Select[Any]:
    columns = model.__mapper__.columns
    name, descending = order.removeprefix("-"), order[0] == "-"
    by: list[Any] = [columns[name]] if name == "id" else [columns[name], columns["id"]]
    conditions = [columns[name] == bindparam(f"filter_{name}") for name in filters]
    if after:
        conditions.append(_beyond(by, descending=descending))
    directed = [column.desc() for column in by] if descending else by
    return selected(model).where(*conditions).order_by(*directed).limit(bindparam("limit"))


def _beyond(columns: list[Any], *, descending: bool) -> ColumnElement[bool]:
    # Not as a comparison of rows, which MariaDB and MySQL make without the index.
    beyond, not_before = (operator.lt, operator.le) if descending else (operator.gt, operator.ge)
    values: list[Any] = [bindparam(f"after_{number}") for number in range(len(columns))]
    *first, last = [beyond(*pair) for pair in zip(columns, values, strict=True)]
    return and_(not_before(columns[0], values[0]), or_(*first, last)) if first else last


def encode_cursor(order: str, entity: object) -> str:
    """Return the place of an entity in an order, in a form that clients cannot take apart."""
    name = order.removeprefix("-")
    place = to_json([order, *(getattr(entity, one) for one in dict.fromkeys((name, "id")))])
    return urlsafe_b64encode(place).rstrip(b"=").decode()


def decode_cursor(cursor: str, order: str, model: type[Entity]) -> list[Any]:
    """Return the values that `encode_cursor` put into a cursor.

    Raises InvalidError unless it did, for the same order.
    """
    name = order.removeprefix("-")
    kind = getattr(model, name).type.python_type
    try:
        place = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found, *values = _place(kind, name == "id").validate_json(place)
        if found != order:
            raise ValueError
    except (binascii.Error, ValidationError, ValueError):
        raise InvalidError(
            f"The cursor {cursor[:40]!r} is none of this list and order; begin without one.",
            [Reason(location=["query", "cursor"], reason="is not from a page of this order")],
        ) from None
    return values


@cache
def _place(kind: type[Any], key_only: bool) -> TypeAdapter[tuple[Any, ...]]:
    value: Any = Annotated[kind, AfterValidator(storable)]
    return TypeAdapter(tuple[str, UUID] if key_only else tuple[str, value, UUID])
