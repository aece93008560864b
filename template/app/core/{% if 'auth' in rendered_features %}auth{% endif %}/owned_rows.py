"""Rows that belong to a caller, for modules that opt in: `class Item(OwnedEntity)`."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, String, bindparam, func, select
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import StoredRow, read_rows
from app.core.models import Entity
from app.core.pagination import PageQuery, PageResult
from app.core.pagination.query_check import filter_condition
from app.core.pagination.statements import page_statement
from app.core.repository import Repository, select_rows


class OwnedEntity(Entity):
    """An entity with the `id` of the principal that it belongs to."""

    __abstract__ = True

    # Case-sensitive on all databases.
    owner_id: Mapped[str] = mapped_column(
        String(255).with_variant(String(255, collation="utf8mb4_bin"), "mysql", "mariadb"),
        index=True,
        sort_order=1,
    )


OwnedT = TypeVar("OwnedT", bound=OwnedEntity)


class OwnedRepository(Repository[OwnedT]):
    """A repository that also reads the rows of one owner only; others look like missing ones."""

    async def get_own(self, key: UUID, owner_id: str) -> OwnedT | None:
        entity = await self.get(key)
        return entity if entity is not None and entity.owner_id == owner_id else None

    async def get_own_row(self, key: UUID, owner_id: str) -> StoredRow | None:
        row = await self.get_row(key)
        return row if row is not None and row.owner_id == owner_id else None

    async def list_own_rows(self, query: PageQuery, owner_id: str) -> PageResult[StoredRow]:
        """Return one page of the owner's rows. Raises InvalidError for an invalid cursor."""
        statement, parameters = page_statement(self.model, query, select_own_rows)
        parameters["owner_id"] = owner_id
        rows = await read_rows(self.session, statement, parameters)
        total = await self._count_own(query, owner_id) if query.total else None
        return PageResult.from_rows(self.model, rows, query, total)

    async def _count_own(self, query: PageQuery, owner_id: str) -> int | None:
        filters = query.filters
        conditions = [filter_condition(self.model, type(query), name) for name in filters]
        counted = select_own_rows(self.model).where(*conditions).subquery()
        parameters = {f"filter_{name}": value for name, value in filters.items()}
        statement = select(func.count()).select_from(counted)
        return await self.session.scalar(statement, parameters | {"owner_id": owner_id})


def select_own_rows(model: type[Any]) -> Select[*tuple[Any, ...]]:
    """Return a SELECT of all columns, whose rows have the parameter `owner_id` as their owner."""
    return select_rows(model).where(model.owner_id == bindparam("owner_id"))
