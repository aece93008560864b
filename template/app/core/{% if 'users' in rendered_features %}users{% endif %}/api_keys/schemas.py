"""What clients send and get about API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.core.users.schemas import ConfirmationRequest

# One line: it is part of a mail.
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=ONE_LINE),
    Field(examples=["Backup"]),
]
Scope = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]+$")]


class UserApiKeyCreate(ConfirmationRequest):
    name: Name
    scopes: list[Scope] = Field(
        min_length=1, max_length=100, description="Some of the caller's own scopes"
    )
    expires_at: datetime | None = Field(
        default=None, description="USERS_API_KEY_LIFETIME after now if missing, which is the latest"
    )


class UserApiKeyRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    prefix: str = Field(description="The beginning of the key", examples=["app_key_1f09c3d7"])
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None = Field(description="Recorded every few minutes")
    expires_at: datetime


class UserApiKeyCreated(UserApiKeyRead):
    key: str = Field(description="The key, which cannot be shown again")
