"""The query and the response of a page; `page_statements.py` has the SQL in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.core.cursors import encode_cursor
from app.core.filters import NotAFilter, find_markers
from app.core.models import Entity
from app.core.schemas import WriteSchema

ItemT = TypeVar("ItemT")
Read = TypeVar("Read", bound=BaseModel)


class PageQuery(WriteSchema):
    """The query parameters of a page; an unknown one is an error, never ignored.

    A module's own class declares what its lists can be sorted and filtered by: `sort`, a `Literal`
    of column names, each also with `-` before it for descending order; and one field for each
    filter, which compares the column of that name for equality, or as `app.core.filters` declares.
    Sort only by columns that have an index. A repository names the class as its `page_query`.
    """

    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = Field(
        default=None,
        # Base64 of a text of 2,000 characters, each escaped in JSON.
        max_length=20_000,
        description="`next_cursor` of the page before",
        json_schema_extra={"format": "cursor"},
    )
    total: bool = Field(default=False, description="Count all, on all pages, which takes time")

    @property
    def order(self) -> str:
        """The column that comes first in the order, after `-` if it descends."""
        return getattr(self, "sort", None) or "id"

    @property
    def filters(self) -> dict[str, Any]:
        """The values to filter by, by field."""
        values = {name: getattr(self, name) for name in filter_names(type(self))}
        return {name: value for name, value in values.items() if value is not None}


@cache
def filter_names(query: type[PageQuery]) -> tuple[str, ...]:
    """Return the names of the fields that are filters."""
    others = {*PageQuery.model_fields, "sort"}
    return tuple(
        name
        for name, field in query.model_fields.items()
        if name not in others
        and not any(isinstance(marker, NotAFilter) for marker in find_markers(field))
    )


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
        cls,
        model: type[Entity],
        found: Sequence[ItemT],
        query: PageQuery,
        total: int | None = None,
    ) -> "Slice[ItemT]":
        """Cut off what is over the limit; its presence tells that there is a next page."""
        items = found[: query.limit]
        if len(found) <= query.limit:
            return cls(items, None, None, total)
        cursor = encode_cursor(model, query.order, items[-1])
        given = query.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
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
