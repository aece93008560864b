"""The query and the response of a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.core.models import Entity
from app.core.pagination.cursors import encode_cursor
from app.core.pagination.filters import NotAFilter, find_markers
from app.core.schemas import WriteSchema

ItemT = TypeVar("ItemT")
Read = TypeVar("Read", bound=BaseModel)


class PageQuery(WriteSchema):
    """The query parameters of a list; unknown parameters are errors.

    A module's subclass declares `sort`, a `Literal` of column names, with `-` before a name for
    descending order, and one field for each filter: it compares the column of the same name for
    equality unless a `Filter` says otherwise. Sort by columns with an index only. A repository
    names the subclass as its `page_query`.
    """

    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = Field(
        default=None,
        # Base64 of a text of 2,000 characters, each escaped in JSON.
        max_length=20_000,
        description="`next_cursor` of the previous page",
        json_schema_extra={"format": "cursor"},
    )
    total: bool = Field(
        default=False, description="Include the total number of rows, which costs one more query"
    )

    @property
    def order(self) -> str:
        """The name of the sort column, after `-` if descending."""
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
class PageResult(Generic[ItemT]):
    """The entities or rows of one page."""

    items: Sequence[ItemT]
    next_cursor: str | None
    next: str | None
    total: int | None

    @classmethod
    def from_rows(
        cls, model: type[Entity], found: Sequence[ItemT], query: PageQuery, total: int | None = None
    ) -> "PageResult[ItemT]":
        """Return the page of rows that were read with one more than `query.limit`."""
        items = found[: query.limit]
        if len(found) <= query.limit:
            return cls(items, None, None, total)
        cursor = encode_cursor(model, query.order, items[-1])
        given = query.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        return cls(items, cursor, f"?{urlencode(given | {'cursor': cursor}, doseq=True)}", total)


class Page(BaseModel, Generic[Read]):
    """The response with one page."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Read]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")
    next: str | None = Field(description="Relative link to the next page; null on the last page")
    total: int | None = Field(description="Number of rows on all pages; null unless requested")
