"""Requests and responses of operations on accounts."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from app.core.pagination import PageQuery
from app.core.schemas import ReadSchema, Text, WriteSchema
from app.core.users.addresses import Email
from app.core.users.passwords.rules import MAX_BYTES


def check_encodable(secret: SecretStr) -> SecretStr:
    """Return a secret; raises ValueError for a surrogate, which has no UTF-8 form."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        reason = "surrogate code points are not allowed"
        raise PydanticCustomError("unicode", reason) from None
    return secret


def check_bytes(secret: SecretStr) -> SecretStr:
    """Return a password; raises ValueError if it has more than MAX_BYTES."""
    if len(secret.get_secret_value().encode()) > MAX_BYTES:
        raise PydanticCustomError("too_long", "at most {limit} bytes", {"limit": MAX_BYTES})
    return secret


# SecretStr: no representation of a request, as in a traceback, shows the value.
Password: TypeAlias = Annotated[
    SecretStr,
    Field(min_length=1, json_schema_extra={"maxLength": MAX_BYTES}),
    AfterValidator(check_encodable),
    AfterValidator(check_bytes),
]
Token: TypeAlias = Annotated[
    SecretStr, Field(min_length=1, max_length=200), AfterValidator(check_encodable)
]
Roles: TypeAlias = Annotated[
    list[Annotated[Text, StringConstraints(min_length=1, max_length=100)]], Field(max_length=50)
]


class EmailRequest(WriteSchema):
    email: Email


class LoginRequest(WriteSchema):
    email: Email
    password: Password


class NewPasswordRequest(WriteSchema):
    """The token of a link, and the new password."""

    token: Token
    password: Password


class TokenRequest(WriteSchema):
    token: Token


class PasswordChangeRequest(WriteSchema):
    current_password: Password | None = Field(
        default=None, description="Required if the account has a password"
    )
    password: Password = Field(description="The new password")


class ConfirmationRequest(WriteSchema):
    current_password: Password | None = Field(
        default=None, description="Required unless the login is recent"
    )


class EmailChangeRequest(ConfirmationRequest):
    email: Email = Field(description="The new address")


class InvitationRequest(WriteSchema):
    email: Email
    roles: Roles = Field(default_factory=list)


class RolesUpdate(WriteSchema):
    roles: Roles


class LoginResponse(BaseModel):
    """The login is complete unless there is a challenge."""

    challenge: str | None = Field(description="To send with a second factor")
    second_factors: list[str] = Field(description="The factors of which one is required")


class TokenResponse(LoginResponse):
    token: str | None = Field(description="Send it as `Authorization: Bearer …`")


class NewTokenResponse(BaseModel):
    token: str | None = Field(
        description="Replaces the bearer token of the request; null if a cookie was sent"
    )


class UserSessionRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_agent: str | None
    address: str | None
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    is_current: bool


class UserAccountRead(ReadSchema):
    email: str
    email_verified_at: datetime | None
    roles: list[str]
    deactivated_at: datetime | None
    version: int


class OwnUserAccountRead(UserAccountRead):
    has_password: bool
    scopes: list[str]


class UserQuery(PageQuery):
    sort: Literal["id", "-id", "email", "-email"] = "id"
    email: Email | None = Field(default=None, description="Only the account with this address")
