"""Operations on the caller's own API keys; API keys cannot use them."""

from uuid import UUID

from app.core.auth.requirements import Caller
from app.core.database import SessionDep, StoredRow
from app.core.routing import APIRouter
from app.core.users.account_router import reveal
from app.core.users.api_keys.schemas import UserApiKeyCreate, UserApiKeyCreated, UserApiKeyRead
from app.core.users.api_keys.service import ApiKeyService
from app.core.users.dependencies import ThrottleDep

router = APIRouter(prefix="/api/v1/auth/api-keys", tags=["auth"])


@router.post("", status_code=201)
async def create_api_key(
    session: SessionDep, caller: Caller, throttle: ThrottleDep, data: UserApiKeyCreate
) -> UserApiKeyCreated:
    """Create a key; the response is the only one that has it."""
    password = reveal(data.current_password)
    row, key = await ApiKeyService(session, caller).create(data, throttle, password)
    return UserApiKeyCreated(**UserApiKeyRead.model_validate(row).model_dump(), key=key)


@router.get("", response_model=list[UserApiKeyRead])
async def list_api_keys(session: SessionDep, caller: Caller) -> list[StoredRow]:
    """Return the keys of the caller, without the keys themselves."""
    return await ApiKeyService(session, caller).list_rows()


@router.delete("", status_code=204)
async def delete_api_keys(session: SessionDep, caller: Caller) -> None:
    """Revoke all keys of the caller."""
    await ApiKeyService(session, caller).delete_all()


@router.delete("/{key_id:uuid}", status_code=204)
async def delete_api_key(session: SessionDep, caller: Caller, key_id: UUID) -> None:
    """Revoke a key of the caller."""
    await ApiKeyService(session, caller).delete(key_id)
