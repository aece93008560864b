"""How lists are cut into pages: by key, so that the last page costs what the first does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.core.models import Entity

EntityT = TypeVar("EntityT", bound=Entity)
Read = TypeVar("Read", bound=BaseModel)


class PageQuery(BaseModel):
    """The query parameters of a page."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=100)
    cursor: UUID | None = Field(default=None, description="`next_cursor` of the page before")


PageQueryDep = Annotated[PageQuery, Query()]


@dataclass(frozen=True)
class Slice(Generic[EntityT]):
    """The entities of one page."""

    items: Sequence[EntityT]
    next_cursor: UUID | None

    @classmethod
    def cut(cls, entities: Sequence[EntityT], limit: int) -> "Slice[EntityT]":
        """Cut off what is over `limit`; its presence tells that there is a next page."""
        items = entities[:limit]
        return cls(items, items[-1].id if len(entities) > limit else None)


class Page(BaseModel, Generic[Read]):
    """The response that carries one page."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Read]
    next_cursor: UUID | None = Field(description="`cursor` of the next page; null on the last one")
