from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class ItemModelDTO(BaseModel):
    """
    DTO for items.

    It returned when accessing items from the API.
    """

    id: UUID
    created_at: datetime
    updated_at: datetime
    version: int
    name: str
    description: str | None

    model_config = ConfigDict(from_attributes=True)


class ItemModelInputDTO(BaseModel):
    """DTO for creating new item."""

    name: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)


class ItemModelUpdateDTO(BaseModel):
    """DTO for changing an item."""

    name: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
