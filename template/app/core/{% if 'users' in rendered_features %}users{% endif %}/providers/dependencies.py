"""Dependencies of operations with providers."""

from collections.abc import AsyncIterator
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from app.core.errors import UnavailableError
from app.core.middleware.retries import is_retryable
from app.core.users.providers.client import LoginProvider
from app.core.users.providers.login_providers import LoginProviders
from app.core.users.providers.return_to import check_return_to
from app.core.users.providers.started_logins import StartedLogins
from app.core.users.settings import get_users_settings


async def get_providers(request: Request) -> LoginProviders:
    providers: LoginProviders = request.app.state.login_providers
    return providers


ProvidersDep: TypeAlias = Annotated[LoginProviders, Depends(get_providers)]


async def get_provider(
    providers: ProvidersDep, name: Annotated[str, Path(pattern="^[a-z][a-z0-9]{0,19}$")]
) -> LoginProvider:
    return providers.get(name)


async def get_started_logins(request: Request) -> AsyncIterator[StartedLogins]:
    """Once the request has used its login up, report a conflict instead of having it retried.

    The retry would find no login, and say that it has expired. Comes before the session in the
    parameters of an operation, to see also the errors of its commit. Raises UnavailableError.
    """
    logins = StartedLogins(request.app.state.session_factory)
    try:
        yield logins
    except (DBAPIError, StaleDataError) as error:
        if not (logins.has_used_one and is_retryable(error)):
            raise
        detail = "Another request has changed the same data; start the login again."
        raise UnavailableError(detail) from error


def check_target(request: Request, target: str | None) -> None:
    """Raise InvalidReturnToError unless `target` is in the web application or a trusted origin."""
    link = urlsplit(get_users_settings().link_url)
    own = (f"{link.scheme}://{link.netloc}",)
    check_return_to(target, own, request.app.state.trusted_origins)


ProviderDep: TypeAlias = Annotated[LoginProvider, Depends(get_provider)]
StartedLoginsDep: TypeAlias = Annotated[
    StartedLogins, Depends(get_started_logins, scope="function")
]
