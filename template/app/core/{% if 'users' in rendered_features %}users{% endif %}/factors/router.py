"""Operations of callers on their own second factors."""

from typing import Annotated, Any, TypeAlias
from uuid import UUID

from fastapi import Query, Request, Response, Security

from app.core.auth.principal import Principal
from app.core.auth.requirements import Caller
from app.core.database import SessionDep
from app.core.routing import APIRouter
from app.core.users.authentication import authenticate_restricted
from app.core.users.cookies import set_session_cookie
from app.core.users.dependencies import CookieDep, DeviceDep, ThrottleDep
from app.core.users.factors.change import Added
from app.core.users.factors.overview import get_overview
from app.core.users.factors.own_second_factors import OwnSecondFactors
from app.core.users.factors.schemas import (
    FactorAddedResponse,
    NewPasskeyRequest,
    NewTotpResponse,
    PasskeyAddedResponse,
    RecoveryCodesResponse,
    SecondFactorsResponse,
    TotpConfirmationRequest,
    UserPasskeyUpdate,
)
from app.core.users.providers.dependencies import ProvidersDep

# The caller, also one that has to add a second factor before anything else.
EnrollingCaller: TypeAlias = Annotated[Principal, Security(authenticate_restricted)]
KeepSessions: TypeAlias = Annotated[
    bool, Query(description="Otherwise, only the session of the request goes on")
]

router = APIRouter(prefix="/api/v1/auth/second-factors", tags=["auth"])


def token_fields(added: Added, cookie: str, response: Response) -> dict[str, Any]:
    """Return the fields of a response; the new token is there only if no cookie has it."""
    if cookie:
        set_session_cookie(response, added.token)
    return {
        "token": None if cookie else added.token,
        "recovery_codes": added.recovery_codes,
    }


@router.get("", response_model=SecondFactorsResponse)
async def list_second_factors(session: SessionDep, caller: EnrollingCaller) -> dict[str, Any]:
    """Return the caller's second factors."""
    return await get_overview(session, caller)


@router.post("/totp", status_code=201)
async def start_totp(
    session: SessionDep, caller: EnrollingCaller, device: DeviceDep, request: Request
) -> NewTotpResponse:
    """Return a secret for an authenticator app, to be confirmed by a code within ten minutes."""
    changes = OwnSecondFactors(session, caller, device)
    secret, uri = await changes.start_totp(request.app.title)
    return NewTotpResponse(secret=secret, uri=uri)


@router.post("/totp/confirm", response_model=FactorAddedResponse)
async def confirm_totp(
    session: SessionDep,
    caller: EnrollingCaller,
    throttle: ThrottleDep,
    device: DeviceDep,
    cookie: CookieDep,
    data: TotpConfirmationRequest,
    response: Response,
) -> dict[str, Any]:
    """Activate the authenticator app by a code of it; the response has a new token."""
    changes = OwnSecondFactors(session, caller, device, keeps_sessions=data.keep_other_sessions)
    added = await changes.confirm_totp(throttle, data.code.get_secret_value())
    return token_fields(added, cookie, response)


@router.delete("/totp", status_code=204)
async def remove_totp(
    session: SessionDep,
    caller: Caller,
    device: DeviceDep,
    keep_other_sessions: KeepSessions = False,
) -> None:
    """Remove the authenticator app."""
    changes = OwnSecondFactors(session, caller, device, keeps_sessions=keep_other_sessions)
    await changes.remove_totp()


@router.post("/passkeys/options")
async def get_creation_options(
    session: SessionDep, caller: EnrollingCaller, device: DeviceDep, request: Request
) -> dict[str, Any]:
    """Return the options of `navigator.credentials.create()` for a new passkey."""
    return await OwnSecondFactors(session, caller, device).start_passkey(request.app.title)


@router.post("/passkeys", status_code=201, response_model=PasskeyAddedResponse)
async def add_passkey(
    session: SessionDep,
    caller: EnrollingCaller,
    device: DeviceDep,
    cookie: CookieDep,
    data: NewPasskeyRequest,
    response: Response,
) -> dict[str, Any]:
    """Add the passkey that a browser has created; the response has a new token."""
    changes = OwnSecondFactors(session, caller, device, keeps_sessions=data.keep_other_sessions)
    passkey_id, added = await changes.add_passkey(data.credential.as_json(), data.name)
    return {"id": passkey_id, **token_fields(added, cookie, response)}


@router.patch("/passkeys/{passkey_id:uuid}", status_code=204)
async def rename_passkey(
    session: SessionDep,
    caller: Caller,
    device: DeviceDep,
    passkey_id: UUID,
    data: UserPasskeyUpdate,
) -> None:
    """Rename a passkey of the caller."""
    await OwnSecondFactors(session, caller, device).rename_passkey(passkey_id, data.name)


@router.delete("/passkeys/{passkey_id:uuid}", status_code=204)
async def remove_passkey(
    session: SessionDep,
    caller: Caller,
    device: DeviceDep,
    providers: ProvidersDep,
    passkey_id: UUID,
    keep_other_sessions: KeepSessions = False,
) -> None:
    """Remove a passkey of the caller, unless it is the only way to log in."""
    changes = OwnSecondFactors(session, caller, device, keeps_sessions=keep_other_sessions)
    await changes.remove_passkey(passkey_id, providers.issuers)


@router.post("/recovery-codes", status_code=201)
async def replace_recovery_codes(
    session: SessionDep, caller: Caller, device: DeviceDep
) -> RecoveryCodesResponse:
    """Return new recovery codes; older ones become invalid."""
    codes = await OwnSecondFactors(session, caller, device).replace_recovery_codes()
    return RecoveryCodesResponse(recovery_codes=codes)
