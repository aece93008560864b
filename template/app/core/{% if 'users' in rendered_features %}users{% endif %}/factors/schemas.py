"""Requests and responses of operations on second factors."""

import binascii
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
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
from webauthn.helpers import base64url_to_bytes

from app.core.schemas import Text, WriteSchema
from app.core.users.schemas import NewTokenResponse, Token, check_encodable

Code: TypeAlias = Annotated[
    SecretStr, Field(min_length=1, max_length=64), AfterValidator(check_encodable)
]
PasskeyName: TypeAlias = Annotated[
    Text, StringConstraints(min_length=1, max_length=100), Field(examples=["Phone"])
]


def check_decodable(text: str) -> str:
    """Return a text; raises ValueError if its length is not that of any Base64."""
    try:
        base64url_to_bytes(text)
    except binascii.Error:
        raise ValueError("not Base64") from None
    return text


Base64: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+=*$"), AfterValidator(check_decodable)
]
# An id has at most 1023 bytes.
CredentialId: TypeAlias = Annotated[Base64, StringConstraints(max_length=1400)]
Data: TypeAlias = Annotated[Base64, StringConstraints(max_length=20_000)]


class BrowserData(BaseModel):
    """What a browser returns as JSON; it may have fields that nothing here needs."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, validate_by_name=True)


class Credential(BrowserData):
    id: CredentialId
    raw_id: CredentialId = Field(alias="rawId")
    type: Literal["public-key"]

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


class AttestationResponse(BrowserData):
    client_data_json: Data = Field(alias="clientDataJSON")
    attestation_object: Data = Field(alias="attestationObject")
    transports: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=20)] = []


class NewCredential(Credential):
    """The result of `navigator.credentials.create()`, by its method `toJSON()`."""

    response: AttestationResponse


class AssertionResponse(BrowserData):
    client_data_json: Data = Field(alias="clientDataJSON")
    authenticator_data: Data = Field(alias="authenticatorData")
    signature: Data
    user_handle: CredentialId | None = Field(default=None, alias="userHandle")


class UsedCredential(Credential):
    """The result of `navigator.credentials.get()`, by its method `toJSON()`."""

    response: AssertionResponse


class ChallengeRequest(WriteSchema):
    challenge: Token


class SecondFactorRequest(WriteSchema):
    """The answer to the challenge of a login."""

    challenge: Token
    method: Literal["totp", "passkey", "recovery_code"]
    code: Code | None = Field(default=None, description="For `totp` and `recovery_code`")
    credential: UsedCredential | None = Field(default=None, description="For `passkey`")

    @model_validator(mode="after")
    def _check_answer(self) -> "SecondFactorRequest":
        if self.method == "passkey":
            if self.credential is None:
                raise ValueError("`passkey` needs a credential")
        elif self.code is None:
            raise ValueError(f"`{self.method}` needs a code")
        return self


class PasskeyLoginRequest(WriteSchema):
    credential: UsedCredential


class FactorChangeRequest(WriteSchema):
    keep_other_sessions: bool = Field(
        default=False, description="Otherwise, only the session of the request goes on"
    )


class TotpConfirmationRequest(FactorChangeRequest):
    code: Code


class NewPasskeyRequest(FactorChangeRequest):
    credential: NewCredential
    name: PasskeyName


class UserPasskeyUpdate(WriteSchema):
    name: PasskeyName


class NewTotpResponse(BaseModel):
    """Shown once."""

    secret: str = Field(description="Base32, for apps without a camera")
    uri: str = Field(description="To show as a QR code")


class FactorAddedResponse(NewTokenResponse):
    recovery_codes: list[str] | None = Field(
        description="Shown once, with the first factor of the account"
    )


class PasskeyAddedResponse(FactorAddedResponse):
    id: UUID


class RecoveryCodesResponse(BaseModel):
    recovery_codes: list[str] = Field(description="Shown once")


class UserTotpRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    confirmed_at: datetime


class UserPasskeyRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None


class SecondFactorsResponse(BaseModel):
    is_required: bool = Field(description="Whether an account without a factor must add one")
    totp: UserTotpRead | None
    passkeys: list[UserPasskeyRead]
    recovery_codes_left: int
