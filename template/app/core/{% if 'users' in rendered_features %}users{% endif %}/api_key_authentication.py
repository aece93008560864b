"""Callers with API keys, and which operations accept them."""

from functools import partial

from fastapi.dependencies.models import Dependant
from fastapi.requests import HTTPConnection
from structlog.contextvars import bind_contextvars

from app.core.auth.audit import audit
from app.core.auth.authentication import Authentication
from app.core.auth.errors import ForbiddenError
from app.core.auth.principal import Principal
from app.core.models import utc_now
from app.core.users.activity import record_use
from app.core.users.api_key_lookup import ApiKeyRow
from app.core.users.api_keys import TOUCH_INTERVAL, touch_api_key
from app.core.users.roles import RoleScopes

ACCOUNTS = "app.core.users."


class SessionRequiredError(ForbiddenError):
    """The operation does not accept API keys."""

    def __init__(self) -> None:
        super().__init__("API keys are not accepted for this operation; log in instead.")


def key_principal(connection: HTTPConnection, row: ApiKeyRow) -> Principal:
    """Return the caller with a key: never with more scopes than the account has now.

    Raises SessionRequiredError if the operation does not accept API keys.
    """
    bind_contextvars(api_key_id=str(row.id))
    if not accepts_api_keys(connection):
        audit("API key rejected", user_id=str(row.user_id))
        raise SessionRequiredError
    if row.last_used_at is None or utc_now() - row.last_used_at >= TOUCH_INTERVAL:
        record_use(connection, partial(touch_api_key, key_id=row.id))
    roles: RoleScopes = connection.app.state.role_scopes
    scopes = roles.scopes(row.roles).intersection(row.scopes)
    return Principal(str(row.user_id), scopes, {"api_key_id": row.id})


def accepts_api_keys(connection: HTTPConnection) -> bool:
    """Return whether an operation requires a scope and is not one of this package.

    Those manage sessions, passwords, addresses, factors, keys and accounts: whoever finds a key
    could keep the account. Without a scope, those of a key would not restrict it.
    """
    module = str(getattr(connection.scope.get("endpoint"), "__module__", ACCOUNTS))
    dependant = getattr(connection.scope.get("route"), "dependant", None)
    return not module.startswith(ACCOUNTS) and requires_scope(dependant)


def requires_scope(dependant: Dependant | None) -> bool:
    if dependant is None:
        return False
    if isinstance(dependant.call, Authentication):
        return bool(dependant.own_oauth_scopes or dependant.parent_oauth_scopes)
    return any(map(requires_scope, dependant.dependencies))
