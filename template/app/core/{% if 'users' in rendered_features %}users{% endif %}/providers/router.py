"""Logins with other OpenID Connect providers."""

from fastapi import Depends, Request, Response

from app.core.database import SessionDep
from app.core.routing import APIRouter
from app.core.users.cookies import set_session_cookie
from app.core.users.csrf import reject_cross_site
from app.core.users.dependencies import BearerDep, DeviceDep, ThrottleDep, TokensDep, mark_private
from app.core.users.providers.cookie import LoginCookieDep, NewLoginCookieDep
from app.core.users.providers.dependencies import (
    ProviderDep,
    ProvidersDep,
    StartedLoginsDep,
    check_target,
)
from app.core.users.providers.login import ProviderLogin, ProviderLoginResult
from app.core.users.providers.proof import ProviderProof
from app.core.users.providers.schemas import (
    AuthorizationResponse,
    LoginProviderResponse,
    ProviderCallbackRequest,
    ProviderLoginRequest,
    ProviderLoginResponse,
    ProviderTokenResponse,
)

router = APIRouter(
    prefix="/api/v1/auth/providers",
    tags=["auth"],
    dependencies=[Depends(reject_cross_site), Depends(mark_private)],
)


@router.get("")
async def list_providers(providers: ProvidersDep) -> list[LoginProviderResponse]:
    """Return the providers with which users can log in."""
    return [
        LoginProviderResponse(name=each.name, label=each.label)
        for each in providers.by_name.values()
    ]


@router.post("/{name}/login")
async def start_provider_login(
    session: SessionDep,
    provider: ProviderDep,
    throttle: ThrottleDep,
    cookie: NewLoginCookieDep,
    data: ProviderLoginRequest,
    request: Request,
) -> AuthorizationResponse:
    """Start a login in this browser: set a cookie, and return the URL of the provider."""
    check_target(request, data.return_to)
    await throttle.count_provider_login()
    proof = ProviderProof(provider)
    url = await proof.start(session, cookie, data.return_to, is_renewal=data.renew)
    return AuthorizationResponse(authorization_url=url)


@router.post("/{name}/callback", response_model=ProviderLoginResponse)
async def finish_provider_login(
    logins: StartedLoginsDep,
    session: SessionDep,
    provider: ProviderDep,
    device: DeviceDep,
    login_cookie: LoginCookieDep,
    tokens: TokensDep,
    data: ProviderCallbackRequest,
    response: Response,
) -> ProviderLoginResult:
    """Finish a login, or link an identity, with what the provider has added to the page's URL.

    The response sets a cookie, unless a second factor has to follow.
    """
    login = ProviderLogin(session, provider)
    result = await login.finish(logins, login_cookie, data.to_callback(), device, tokens)
    if result.token:
        set_session_cookie(response, result.token)
    return result


@router.post("/{name}/token", response_model=ProviderTokenResponse)
async def create_provider_token(
    logins: StartedLoginsDep,
    session: SessionDep,
    provider: ProviderDep,
    device: DeviceDep,
    login_cookie: LoginCookieDep,
    bearer: BearerDep,
    data: ProviderCallbackRequest,
) -> ProviderLoginResult:
    """Finish a login as `callback` does; the response has a bearer token instead of a cookie."""
    login = ProviderLogin(session, provider)
    return await login.finish(logins, login_cookie, data.to_callback(), device, bearer)
