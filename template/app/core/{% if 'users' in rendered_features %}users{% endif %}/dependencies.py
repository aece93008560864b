"""Dependencies of the operations on accounts."""

from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from app.core.auth.authentication import ASKED_FOR_PRINCIPAL
from app.core.users.authentication import bearer_token, cookie_token
from app.core.users.roles import RoleScopes
from app.core.users.sessions import Device
from app.core.users.throttling.throttle import Throttle


async def get_device(request: Request) -> Device:
    return Device(request.headers.get("User-Agent"), client_address(request))


def client_address(request: Request) -> str | None:
    """Return the client's address; behind a proxy, uvicorn's --forwarded-allow-ips decides."""
    return request.client.host if request.client else None


async def get_throttle(request: Request) -> Throttle:
    return Throttle(request.app.state.session_factory, client_address(request))


async def get_roles(request: Request) -> RoleScopes:
    roles: RoleScopes = request.app.state.role_scopes
    return roles


async def get_cookie(request: Request) -> str:
    """Return the token of a browser, or an empty string."""
    return cookie_token(request)


async def get_tokens(request: Request) -> set[str]:
    """Return all tokens of a request, which may be invalid."""
    return {cookie_token(request), bearer_token(request)} - {""}


async def get_bearer(request: Request) -> set[str]:
    """Return the bearer token of a request, if there is one; it may be invalid."""
    return {bearer_token(request)} - {""}


async def mark_private(request: Request) -> None:
    """Keep responses with tokens, or about accounts, out of caches."""
    request.scope[ASKED_FOR_PRINCIPAL] = True


DeviceDep: TypeAlias = Annotated[Device, Depends(get_device)]
ThrottleDep: TypeAlias = Annotated[Throttle, Depends(get_throttle)]
RolesDep: TypeAlias = Annotated[RoleScopes, Depends(get_roles)]
CookieDep: TypeAlias = Annotated[str, Depends(get_cookie)]
TokensDep: TypeAlias = Annotated[set[str], Depends(get_tokens)]
BearerDep: TypeAlias = Annotated[set[str], Depends(get_bearer)]
