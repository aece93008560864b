"""The queries that every module needs."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.models import Entity
from app.core.pagination import PageQuery, Slice

EntityT = TypeVar("EntityT", bound=Entity)


class Repository(Generic[EntityT]):
    """Reads and writes entities of one model; flushes every write and never commits."""

    model: type[EntityT]

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, key: UUID) -> EntityT | None:
        return await self.session.get(self.model, key)

    async def page(self, query: PageQuery) -> Slice[EntityT]:
        """Return entities in the order of their making, those after the cursor."""
        statement = select(self.model).order_by(self.model.id).limit(query.limit + 1)
        if query.cursor is not None:
            statement = statement.where(self.model.id > query.cursor)
        entities = (await self.session.scalars(statement)).all()
        return Slice.cut(entities, query.limit)

    async def add(self, entity: EntityT) -> EntityT:
        self.session.add(entity)
        await self.session.flush()
        return entity

    async def change(self, entity: EntityT, values: Mapping[str, Any]) -> EntityT:
        for name, value in values.items():
            setattr(entity, name, value)
        await self.session.flush()
        return entity

    async def delete(self, entity: EntityT) -> None:
        await self.session.delete(entity)
        await self.session.flush()
