"""Operations that log in with a second factor, or with a passkey alone."""

from typing import Any

from fastapi import Depends, Response

from app.core.database import SessionDep
from app.core.routing import APIRouter
from app.core.users.cookies import set_session_cookie
from app.core.users.csrf import reject_cross_site
from app.core.users.dependencies import (
    BearerDep,
    DeviceDep,
    ThrottleDep,
    TokensDep,
    mark_private,
)
from app.core.users.factors.passkey_login import PasskeyLogin
from app.core.users.factors.schemas import (
    ChallengeRequest,
    PasskeyLoginRequest,
    SecondFactorRequest,
)
from app.core.users.factors.second_factors import Answer
from app.core.users.factors.second_step import SecondStep
from app.core.users.schemas import TokenResponse

router = APIRouter(
    prefix="/api/v1/auth",
    tags=["auth"],
    dependencies=[Depends(reject_cross_site), Depends(mark_private)],
)


def read_answer(data: SecondFactorRequest) -> Answer:
    code = data.code.get_secret_value() if data.code else ""
    return Answer(data.method, code, data.credential.as_json() if data.credential else None)


@router.post("/second-factor", status_code=204)
async def prove_second_factor(
    session: SessionDep,
    throttle: ThrottleDep,
    device: DeviceDep,
    tokens: TokensDep,
    data: SecondFactorRequest,
    response: Response,
) -> None:
    """Complete a login with a second factor; the response sets a cookie."""
    step = SecondStep(session, throttle)
    token = await step.finish(data.challenge.get_secret_value(), read_answer(data), device, tokens)
    set_session_cookie(response, token)


@router.post("/second-factor/token", response_model=TokenResponse)
async def create_token_with_second_factor(
    session: SessionDep,
    throttle: ThrottleDep,
    device: DeviceDep,
    bearer: BearerDep,
    data: SecondFactorRequest,
) -> TokenResponse:
    """Complete a login with a second factor; the response has a bearer token."""
    step = SecondStep(session, throttle)
    token = await step.finish(data.challenge.get_secret_value(), read_answer(data), device, bearer)
    return TokenResponse(token=token, challenge=None, second_factors=[])


@router.post("/second-factor/passkey-options")
async def get_second_factor_options(
    session: SessionDep, throttle: ThrottleDep, data: ChallengeRequest
) -> dict[str, Any]:
    """Return the options of `navigator.credentials.get()` for the second step of a login."""
    return await SecondStep(session, throttle).start_passkey(data.challenge.get_secret_value())


@router.post("/passkey-options")
async def get_passkey_options(session: SessionDep, throttle: ThrottleDep) -> dict[str, Any]:
    """Return the options of `navigator.credentials.get()` for a login with a passkey alone."""
    return await PasskeyLogin(session, throttle).start()


@router.post("/passkey-login", status_code=204)
async def log_in_with_passkey(
    session: SessionDep,
    throttle: ThrottleDep,
    device: DeviceDep,
    tokens: TokensDep,
    data: PasskeyLoginRequest,
    response: Response,
) -> None:
    """Log in with a passkey that has verified its user; the response sets a cookie."""
    login = PasskeyLogin(session, throttle)
    set_session_cookie(response, await login.finish(data.credential.as_json(), device, tokens))


@router.post("/passkey-login/token", response_model=TokenResponse)
async def create_token_with_passkey(
    session: SessionDep,
    throttle: ThrottleDep,
    device: DeviceDep,
    bearer: BearerDep,
    data: PasskeyLoginRequest,
) -> TokenResponse:
    """Log in with a passkey that has verified its user; the response has a bearer token."""
    token = await PasskeyLogin(session, throttle).finish(data.credential.as_json(), device, bearer)
    return TokenResponse(token=token, challenge=None, second_factors=[])
