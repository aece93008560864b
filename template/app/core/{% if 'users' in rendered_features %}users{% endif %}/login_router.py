"""Operations for callers who are not logged in yet, and logout."""

from fastapi import Depends, Response

from app.core.database import SessionDep
from app.core.routing import APIRouter
from app.core.users.cookies import delete_session_cookie, set_session_cookie
from app.core.users.csrf import reject_cross_site
from app.core.users.dependencies import BearerDep, DeviceDep, ThrottleDep, TokensDep, mark_private
from app.core.users.email_change import EmailChange
from app.core.users.own_account import log_out
from app.core.users.passwords.login import LoginResult, PasswordLogin
from app.core.users.passwords.reset import PasswordReset
from app.core.users.schemas import (
    EmailRequest,
    LoginRequest,
    LoginResponse,
    NewPasswordRequest,
    TokenRequest,
    TokenResponse,
)
from app.core.users.sign_up import SignUp

router = APIRouter(
    prefix="/api/v1/auth",
    tags=["auth"],
    dependencies=[Depends(reject_cross_site), Depends(mark_private)],
)


@router.post("/sign-up", status_code=202, response_class=Response)
async def sign_up(session: SessionDep, throttle: ThrottleDep, data: EmailRequest) -> None:
    """Send a mail with a link that verifies the address and creates the account."""
    await SignUp(session).start(data.email, throttle)


@router.post("/verify-email", status_code=204)
async def verify_email(session: SessionDep, data: NewPasswordRequest) -> None:
    """Create the account of the link in a mail, with a password."""
    await SignUp(session).finish(data.token.get_secret_value(), data.password.get_secret_value())


@router.post("/accept-invitation", status_code=204)
async def accept_invitation(session: SessionDep, data: NewPasswordRequest) -> None:
    """Set the password of the account that an administrator has created."""
    sign_up = SignUp(session)
    await sign_up.accept_invitation(data.token.get_secret_value(), data.password.get_secret_value())


@router.post("/login", response_model=LoginResponse)
async def login(
    session: SessionDep,
    throttle: ThrottleDep,
    device: DeviceDep,
    tokens: TokensDep,
    data: LoginRequest,
    response: Response,
) -> LoginResult:
    """Log in with a password; the response sets a cookie, unless a second factor has to follow."""
    service = PasswordLogin(session, throttle)
    result = await service.log_in(data.email, data.password.get_secret_value(), device, tokens)
    if result.token:
        set_session_cookie(response, result.token)
    return result


@router.post("/token", response_model=TokenResponse)
async def create_token(
    session: SessionDep,
    throttle: ThrottleDep,
    device: DeviceDep,
    bearer: BearerDep,
    data: LoginRequest,
) -> LoginResult:
    """Log in with a password; the response has a bearer token, for clients without cookies."""
    service = PasswordLogin(session, throttle)
    return await service.log_in(data.email, data.password.get_secret_value(), device, bearer)


@router.post("/logout", status_code=204)
async def logout(session: SessionDep, tokens: TokensDep, response: Response) -> None:
    """End the session of the cookie or the bearer token, if there is one; delete the cookie."""
    await log_out(session, tokens)
    delete_session_cookie(response)


@router.post("/forgot-password", status_code=202, response_class=Response)
async def forgot_password(session: SessionDep, throttle: ThrottleDep, data: EmailRequest) -> None:
    """Send a mail with a link that sets a new password, if the address has an account."""
    await PasswordReset(session, throttle).start(data.email)


@router.post("/reset-password", status_code=204)
async def reset_password(
    session: SessionDep, throttle: ThrottleDep, data: NewPasswordRequest
) -> None:
    """Set the password of the account of a link, and end all of its sessions."""
    reset = PasswordReset(session, throttle)
    await reset.finish(data.token.get_secret_value(), data.password.get_secret_value())


@router.post("/confirm-email", status_code=204)
async def confirm_email(session: SessionDep, throttle: ThrottleDep, data: TokenRequest) -> None:
    """Change the address of the account of a link to the one that received it."""
    await EmailChange(session, throttle).finish(data.token.get_secret_value())
