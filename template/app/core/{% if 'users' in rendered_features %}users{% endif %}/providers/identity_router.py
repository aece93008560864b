"""Operations of callers on the identities that are linked to their accounts."""

from uuid import UUID

from fastapi import Request

from app.core.auth.requirements import Caller
from app.core.database import SessionDep, StoredRow
from app.core.routing import APIRouter
from app.core.users.account_router import reveal
from app.core.users.dependencies import ThrottleDep
from app.core.users.providers.cookie import NewLoginCookieDep
from app.core.users.providers.dependencies import ProvidersDep, check_target
from app.core.users.providers.identity_service import IdentityService
from app.core.users.providers.schemas import (
    AuthorizationResponse,
    IdentityLinkRequest,
    UserIdentityRead,
)
from app.core.users.schemas import ConfirmationRequest

router = APIRouter(prefix="/api/v1/auth/identities", tags=["auth"])


@router.get("", response_model=list[UserIdentityRead])
async def list_identities(
    session: SessionDep, caller: Caller, providers: ProvidersDep
) -> list[StoredRow]:
    """Return the users of providers who can log in to the caller's account."""
    return await IdentityService(session, caller, providers).list_rows()


@router.post("")
async def link_identity(
    session: SessionDep,
    caller: Caller,
    providers: ProvidersDep,
    throttle: ThrottleDep,
    cookie: NewLoginCookieDep,
    data: IdentityLinkRequest,
    request: Request,
) -> AuthorizationResponse:
    """Start to link an identity; the `callback` of the provider finishes it."""
    check_target(request, data.return_to)
    service = IdentityService(session, caller, providers)
    password = reveal(data.current_password)
    url = await service.link(data.provider, cookie, data.return_to, throttle, password)
    return AuthorizationResponse(authorization_url=url)


@router.post("/{identity_id:uuid}/unlink", status_code=204)
async def unlink_identity(
    session: SessionDep,
    caller: Caller,
    providers: ProvidersDep,
    throttle: ThrottleDep,
    identity_id: UUID,
    data: ConfirmationRequest,
) -> None:
    """Unlink an identity, unless it is the only way to log in."""
    service = IdentityService(session, caller, providers)
    await service.unlink(identity_id, throttle, reveal(data.current_password))
