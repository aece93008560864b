from typing import Any
from uuid import UUID

from fastapi import Depends
from peer.db.dependencies import get_db_session
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from peer.db.models.item_model import ItemModel


class ItemDAO:
    """Class for accessing item table."""

    def __init__(self, session: AsyncSession = Depends(get_db_session)) -> None:
        self.session = session

    async def create_item(self, values: dict[str, Any]) -> ItemModel:
        """
        Add single item to session, and set its defaults.

        :param values: columns of the item.
        :return: created item.
        """
        item = ItemModel(**values)
        self.session.add(item)
        await self.session.flush()
        return item

    async def get_item(self, item_id: UUID) -> ItemModel | None:
        """
        Get specific item.

        :param item_id: id of an item.
        :return: the item, if there is one.
        """
        return await self.session.get(ItemModel, item_id)

    async def get_items(self, limit: int, cursor: UUID | None) -> list[ItemModel]:
        """
        Get items in the order of their ids.

        :param limit: limit of items.
        :param cursor: id after which they begin.
        :return: items.
        """
        query = select(ItemModel).order_by(ItemModel.id).limit(limit)
        if cursor:
            query = query.where(ItemModel.id > cursor)
        raw_items = await self.session.execute(query)

        return list(raw_items.scalars().fetchall())

    async def update_item(self, item: ItemModel, values: dict[str, Any]) -> ItemModel:
        """
        Change columns of an item.

        :param item: item to change.
        :param values: its new columns.
        :return: changed item.
        """
        for name, value in values.items():
            setattr(item, name, value)
        item.version += 1
        await self.session.flush()
        return item
