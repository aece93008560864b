"""Requests and responses of logins with providers, and of identities."""

import re
from datetime import datetime
from typing import Annotated, Self, TypeAlias
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from app.core.schemas import WriteSchema
from app.core.users.providers.proof import Callback
from app.core.users.schemas import ConfirmationRequest, LoginResponse

# Parameters are visible ASCII: https://www.rfc-editor.org/rfc/rfc6749#appendix-A
VISIBLE = re.compile(r"[ -~]+")


def check_visible(secret: SecretStr) -> SecretStr:
    if not VISIBLE.fullmatch(secret.get_secret_value()):
        raise ValueError("expected visible ASCII characters")
    return secret


State: TypeAlias = Annotated[SecretStr, Field(max_length=200), AfterValidator(check_visible)]
Code: TypeAlias = Annotated[SecretStr, Field(max_length=4096), AfterValidator(check_visible)]
Parameter: TypeAlias = Annotated[str, StringConstraints(max_length=255, pattern=r"^[ -~]+$")]
ProviderName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,19}$"), Field(examples=["google"])
]
ReturnTo: TypeAlias = Annotated[
    str | None,
    Field(
        max_length=500,
        description="Returned after the login: a path of the web application, or a URL of it or of"
        " an origin in CORS_ALLOW_ORIGINS",
        examples=["/orders"],
    ),
]


class LoginProviderResponse(BaseModel):
    name: str
    label: str


class ProviderLoginRequest(WriteSchema):
    return_to: ReturnTo = None
    renew: bool = Field(
        default=False, description="Ask the provider to authenticate the user again"
    )


class IdentityLinkRequest(ConfirmationRequest):
    provider: ProviderName
    return_to: ReturnTo = None


class AuthorizationResponse(BaseModel):
    authorization_url: str = Field(description="Open it in the same browser")


class ProviderCallbackRequest(WriteSchema):
    """The parameters that the provider has added to the URL of the page."""

    state: State
    code: Code | None = None
    iss: Parameter | None = None
    error: Parameter | None = None

    @model_validator(mode="after")
    def _has_outcome(self) -> Self:
        if (self.code is None) == (self.error is None):
            raise ValueError("expected either `code` or `error`")
        return self

    def to_callback(self) -> Callback:
        code = self.code.get_secret_value() if self.code else None
        return Callback(self.state.get_secret_value(), code, self.error, self.iss)


class ProviderLoginResponse(LoginResponse):
    return_to: str | None
    is_linked: bool = Field(description="An identity was linked; this was no login")


class ProviderTokenResponse(ProviderLoginResponse):
    token: str | None = Field(description="Send it as `Authorization: Bearer …`")


class UserIdentityRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    issuer: str
    email: str | None = Field(description="Address at the provider when it was linked")
    created_at: datetime
    last_login_at: datetime | None
