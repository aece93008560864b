"""What every schema stands on."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class WriteSchema(BaseModel):
    """What a client sends; an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid")


class ReadSchema(BaseModel):
    """What a client gets of an entity."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    created_at: datetime
    updated_at: datetime
