"""Callers with API keys, and which operations accept them."""

from collections.abc import Collection
from functools import partial

from fastapi.requests import HTTPConnection
from structlog.contextvars import bind_contextvars

from app.core.auth.audit import audit
from app.core.auth.principal import Principal
from app.core.models import utc_now
from app.core.users.activity import record_use
from app.core.users.api_keys.keys import TOUCH_INTERVAL, touch_api_key
from app.core.users.api_keys.lookup import ApiKeyRow
from app.core.users.caller_session import SessionRequiredError
from app.core.users.roles import RoleScopes

ACCOUNTS = "app.core.users."
# Key in the claims of a caller with a key.
API_KEY_ID = "api_key_id"
# Key in the scope of a request whose operation has required a scope.
HAS_SCOPE = "has_required_scope"


def key_principal(connection: HTTPConnection, row: ApiKeyRow) -> Principal:
    """Return the caller with a key: never with more scopes than the account has now.

    Raises SessionRequiredError for an operation of this package: those manage sessions, passwords,
    addresses, factors, keys and accounts, so that a stolen key could take over the account.
    """
    bind_contextvars(api_key_id=str(row.id))
    module = str(getattr(connection.scope.get("endpoint"), "__module__", ACCOUNTS))
    if module.startswith(ACCOUNTS):
        audit("API key rejected", user_id=str(row.user_id))
        raise SessionRequiredError
    if row.last_used_at is None or utc_now() - row.last_used_at >= TOUCH_INTERVAL:
        record_use(connection, partial(touch_api_key, key_id=row.id))
    roles: RoleScopes = connection.app.state.role_scopes
    scopes = roles.scopes(row.roles).intersection(row.scopes)
    return Principal(str(row.user_id), scopes, {API_KEY_ID: row.id})


def check_scope_is_required(
    connection: HTTPConnection, caller: Principal, scopes: Collection[str]
) -> None:
    """Raise SessionRequiredError for a caller with a key if an operation requires no scope.

    Those of the key would not restrict it. FastAPI runs the `dependencies` of routers and routes,
    which require scopes, before it passes the caller to the function.
    """
    if API_KEY_ID not in caller.claims:
        return
    if scopes:
        connection.scope[HAS_SCOPE] = True
    elif HAS_SCOPE not in connection.scope:
        audit("API key rejected", user_id=caller.id)
        raise SessionRequiredError
