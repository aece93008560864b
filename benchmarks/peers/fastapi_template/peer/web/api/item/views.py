from uuid import UUID

from fastapi import APIRouter, HTTPException, status
from fastapi.param_functions import Depends

from peer.db.dao.item_dao import ItemDAO
from peer.db.models.item_model import ItemModel
from peer.web.api.item.schema import ItemModelDTO, ItemModelInputDTO, ItemModelUpdateDTO

router = APIRouter()


@router.get("", response_model=list[ItemModelDTO])
async def get_items(
    limit: int = 50,
    cursor: UUID | None = None,
    item_dao: ItemDAO = Depends(),
) -> list[ItemModel]:
    """
    Retrieve a page of items from the database.

    :param limit: limit of items, defaults to 50.
    :param cursor: id after which they begin, defaults to none.
    :param item_dao: DAO for items.
    :return: list of items from database.
    """
    return await item_dao.get_items(limit=limit, cursor=cursor)


@router.post("", status_code=status.HTTP_201_CREATED, response_model=ItemModelDTO)
async def create_item(
    new_item: ItemModelInputDTO,
    item_dao: ItemDAO = Depends(),
) -> ItemModel:
    """
    Creates item in the database.

    :param new_item: new item.
    :param item_dao: DAO for items.
    :return: created item.
    """
    return await item_dao.create_item(new_item.model_dump())


@router.get("/{item_id}", response_model=ItemModelDTO)
async def get_item(item_id: UUID, item_dao: ItemDAO = Depends()) -> ItemModel:
    """
    Retrieve an item from the database.

    :param item_id: id of the item.
    :param item_dao: DAO for items.
    :raises HTTPException: if there is no such item.
    :return: item from database.
    """
    item = await item_dao.get_item(item_id)
    if item is None:
        raise HTTPException(status_code=status.HTTP_404_NOT_FOUND)
    return item


@router.patch("/{item_id}", response_model=ItemModelDTO)
async def update_item(
    item_id: UUID,
    changes: ItemModelUpdateDTO,
    item_dao: ItemDAO = Depends(),
) -> ItemModel:
    """
    Changes an item in the database.

    :param item_id: id of the item.
    :param changes: its new values.
    :param item_dao: DAO for items.
    :raises HTTPException: if there is no such item.
    :return: changed item.
    """
    item = await get_item(item_id, item_dao)
    return await item_dao.update_item(item, changes.model_dump(exclude_unset=True))
