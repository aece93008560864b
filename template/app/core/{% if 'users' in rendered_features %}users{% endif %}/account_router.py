"""Operations of callers on their own accounts."""

from typing import Any

from fastapi import Request, Response
from pydantic import SecretStr

from app.core.auth.requirements import Caller
from app.core.database import SessionDep
from app.core.routing import APIRouter
from app.core.users.cookies import delete_session_cookie, set_session_cookie
from app.core.users.dependencies import CookieDep, DeviceDep, ThrottleDep
from app.core.users.email_change import EmailChange
from app.core.users.own_account import OwnAccount
from app.core.users.passwords.change import PasswordChange
from app.core.users.schemas import (
    ConfirmationRequest,
    EmailChangeRequest,
    NewTokenResponse,
    OwnUserAccountRead,
    PasswordChangeRequest,
)

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


def reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


@router.get("/me", response_model=OwnUserAccountRead)
async def get_me(session: SessionDep, caller: Caller) -> dict[str, Any]:
    """Return the caller's account, with the scopes of its credentials."""
    row = await OwnAccount(session, caller).get()
    return {
        **row._mapping,
        "has_password": row.password_hash is not None,
        "scopes": sorted(caller.scopes),
    }


@router.post("/change-password")
async def change_password(
    session: SessionDep,
    caller: Caller,
    throttle: ThrottleDep,
    device: DeviceDep,
    cookie: CookieDep,
    data: PasswordChangeRequest,
    request: Request,
    response: Response,
) -> NewTokenResponse:
    """Set a new password and end all sessions; the response starts a new one."""
    service = PasswordChange(session, throttle)
    token = await service.change(
        caller, reveal(data.current_password), data.password.get_secret_value(), device
    )
    if not cookie:
        return NewTokenResponse(token=token)
    set_session_cookie(response, token)
    return NewTokenResponse(token=None)


@router.post("/change-email", status_code=202, response_class=Response)
async def change_email(
    session: SessionDep, caller: Caller, throttle: ThrottleDep, data: EmailChangeRequest
) -> None:
    """Send a link to the new address; following it changes the address."""
    service = EmailChange(session, throttle)
    await service.start(caller, data.email, reveal(data.current_password))


@router.post("/deactivate", status_code=204)
async def deactivate(
    session: SessionDep,
    caller: Caller,
    throttle: ThrottleDep,
    data: ConfirmationRequest,
    response: Response,
) -> None:
    """Deactivate the caller's account; only administrators can activate it again."""
    await OwnAccount(session, caller).deactivate(throttle, reveal(data.current_password))
    delete_session_cookie(response)


@router.post("/delete-account", status_code=204)
async def delete_account(
    session: SessionDep,
    caller: Caller,
    throttle: ThrottleDep,
    data: ConfirmationRequest,
    response: Response,
) -> None:
    """Delete the caller's account."""
    await OwnAccount(session, caller).delete(throttle, reveal(data.current_password))
    delete_session_cookie(response)
