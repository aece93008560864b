"""Dependencies of operations with providers."""

from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request

from app.core.database import SessionFactory
from app.core.users.providers.client import LoginProvider
from app.core.users.providers.login_providers import LoginProviders
from app.core.users.providers.return_to import check_return_to
from app.core.users.settings import get_users_settings


async def get_providers(request: Request) -> LoginProviders:
    providers: LoginProviders = request.app.state.login_providers
    return providers


ProvidersDep: TypeAlias = Annotated[LoginProviders, Depends(get_providers)]


async def get_provider(
    providers: ProvidersDep, name: Annotated[str, Path(pattern="^[a-z][a-z0-9]{0,19}$")]
) -> LoginProvider:
    return providers.get(name)


async def get_session_factory(request: Request) -> SessionFactory:
    sessions: SessionFactory = request.app.state.session_factory
    return sessions


def check_target(request: Request, target: str | None) -> None:
    """Raise InvalidReturnToError unless `target` is in the web application or a trusted origin."""
    link = urlsplit(get_users_settings().link_url)
    own = (f"{link.scheme}://{link.netloc}",)
    check_return_to(target, own, request.app.state.trusted_origins)


ProviderDep: TypeAlias = Annotated[LoginProvider, Depends(get_provider)]
SessionFactoryDep: TypeAlias = Annotated[SessionFactory, Depends(get_session_factory)]
