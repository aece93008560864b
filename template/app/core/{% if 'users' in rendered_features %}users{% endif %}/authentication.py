"""Authentication by a session, or by an API key.

The token of a session is in a cookie or in the `Authorization` header, an API key in the header.
"""

from functools import partial
from typing import cast

from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes

from app.core.auth.authentication import Authentication
from app.core.auth.errors import CredentialsMissingError, UnauthorizedError
from app.core.auth.principal import Principal
from app.core.database import SESSION, Session
from app.core.models import utc_now
from app.core.users.activity import record_use
from app.core.users.api_keys.authentication import check_scope_is_required, key_principal
from app.core.users.api_keys.keys import API_KEY_PATTERN
from app.core.users.api_keys.lookup import API_KEY_LOOKUP
from app.core.users.caller_session import CallerSession
from app.core.users.csrf import reject_cross_site
from app.core.users.methods import SecondFactorRequiredError, lacks_second_factor
from app.core.users.request_cookies import read_cookie
from app.core.users.roles import RoleScopes
from app.core.users.session_lifetimes import has_ended, touch_interval, touch_session
from app.core.users.session_lookup import SESSION_LOOKUP
from app.core.users.sessions import PREFIX
from app.core.users.settings import get_users_settings
from app.core.users.token_lookup import RowT, TokenLookup
from app.core.users.tokens import hash_token

COOKIE = "__Host-session"
# Key in the claims of a session: whether its user has to add a second factor first.
RESTRICTED = "restricted"


class SessionAuthentication(Authentication):
    """Identifies callers by the token of a session, or by an API key.

    One that has to add a second factor first may use only operations with `allow_restricted`.
    """

    def __init__(self, *, allow_restricted: bool = False) -> None:
        self.allow_restricted = allow_restricted
        # app.core.users.openapi adds the cookie as an alternative.
        self.model = HTTPBearer(description="The token of a session, or an API key")
        self.scheme_name = "bearer"

    async def __call__(self, connection: HTTPConnection, required: SecurityScopes) -> Principal:
        caller = await super().__call__(connection, required)
        check_scope_is_required(connection, caller, required.scopes)
        return caller

    async def identify(self, connection: HTTPConnection) -> Principal:
        token = await read_token(connection)
        if token.startswith(PREFIX):
            return await identify_by_session(connection, token)
        # Browsers send cookies by themselves, which is for sessions only.
        if API_KEY_PATTERN.fullmatch(token) and token != cookie_token(connection):
            return await identify_by_api_key(connection, token)
        raise invalid_credentials()

    def check(self, principal: Principal) -> None:
        if principal.claims.get(RESTRICTED) and not self.allow_restricted:
            raise SecondFactorRequiredError


authenticate = SessionAuthentication()
authenticate_restricted = SessionAuthentication(allow_restricted=True)
"""For the few operations of a caller that has to add a second factor first."""


async def read_token(connection: HTTPConnection) -> str:
    """Return the token of a request.

    Raises UnauthorizedError if there is none, or two different ones, and CrossSiteError if a
    cookie comes from a page of another site.
    """
    bearer, cookie = bearer_token(connection), cookie_token(connection)
    if bearer and cookie and bearer != cookie:
        detail = "The cookie and the Authorization header have different tokens; send one of them."
        raise UnauthorizedError(detail, invalid_token=True)
    if not bearer and not cookie:
        raise CredentialsMissingError("Credentials are missing; log in.")
    if not bearer:
        await reject_cross_site(connection)
    return bearer or cookie


def bearer_token(connection: HTTPConnection) -> str:
    """Return the token in the `Authorization` header, or an empty string."""
    # Other schemes, such as Basic, are those of proxies.
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def cookie_token(connection: HTTPConnection) -> str:
    """Return the token in the cookie, or an empty string."""
    return read_cookie(connection, COOKIE)


async def identify_by_session(connection: HTTPConnection, token: str) -> Principal:
    """Return the caller with this session; raises UnauthorizedError if it has ended."""
    row = await _find(connection, SESSION_LOOKUP, token)
    if row is None or row.deactivated_at or has_ended(row.last_seen_at, row.expires_at):
        raise invalid_credentials()
    if utc_now() - row.last_seen_at >= touch_interval(get_users_settings()):
        record_use(connection, partial(touch_session, session_id=row.session_id))
    roles: RoleScopes = connection.app.state.role_scopes
    methods = tuple(row.methods.split())
    is_restricted = lacks_second_factor(methods)
    own = CallerSession(row.session_id, row.authenticated_at, methods)
    claims = {**own.to_claims(), RESTRICTED: is_restricted}
    scopes = frozenset() if is_restricted else roles.scopes(row.roles)
    return Principal(str(row.user_id), scopes, claims)


async def identify_by_api_key(connection: HTTPConnection, key: str) -> Principal:
    """Return the caller with this key; raises UnauthorizedError if it has ended."""
    row = await _find(connection, API_KEY_LOOKUP, key)
    if row is None or row.deactivated_at or row.expires_at <= utc_now():
        raise invalid_credentials()
    return key_principal(connection, row)


def invalid_credentials() -> UnauthorizedError:
    detail = "The credentials are invalid, have expired or were revoked; log in again."
    return UnauthorizedError(detail, invalid_token=True)


async def _find(connection: HTTPConnection, lookup: TokenLookup[RowT], token: str) -> RowT | None:
    token_hash = hash_token(token)
    request_session = cast(Session | None, connection.scope.get(SESSION))
    if request_session and request_session.in_transaction():
        # It holds a connection; a second one could wait for it forever.
        return await lookup.find_in(request_session, token_hash)
    return await lookup.find(connection.app.state.session_factory, token_hash)
