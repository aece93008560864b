"""The dependency that authenticates a request, once, and checks the scopes of an operation."""

from typing import cast

from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from opentelemetry import trace
from structlog.contextvars import bind_contextvars

from app.core.auth.audit import audit
from app.core.auth.errors import (
    CredentialsMissingError,
    MissingScopeError,
    UnauthorizedError,
)
from app.core.auth.principal import Principal

# Keys in the scope of a request: its caller, and whether an operation asked for one.
PRINCIPAL = "principal"
ASKED_FOR_PRINCIPAL = "asked_for_principal"


class Authentication(SecurityBase):
    """A security scheme of OpenAPI; its subclasses identify callers."""

    async def identify(self, connection: HTTPConnection) -> Principal:
        """Return the caller. Raises UnauthorizedError for missing or invalid credentials."""
        raise NotImplementedError

    def check(self, principal: Principal) -> None:
        """Raise ForbiddenError for a caller that may use no operation with this scheme."""

    async def __call__(self, connection: HTTPConnection, required: SecurityScopes) -> Principal:
        """Return the caller of a request.

        Raises UnauthorizedError without valid credentials, and MissingScopeError without the
        required scopes. Starts no transaction.
        """
        principal = cast(Principal | None, connection.scope.get(PRINCIPAL))
        if principal is None:
            connection.scope[ASKED_FOR_PRINCIPAL] = True
            try:
                principal = await self.identify(connection)
            except CredentialsMissingError:
                raise
            except UnauthorizedError as error:
                audit("authentication failed", reason=str(error))
                raise
            connection.scope[PRINCIPAL] = principal
            # Never unbound: servers run each request in its own context.
            bind_contextvars(user_id=principal.id)
            trace.get_current_span().set_attribute("user_id", principal.id)
        # Also of one that another scheme has identified.
        self.check(principal)
        if missing := [scope for scope in required.scopes if scope not in principal.scopes]:
            audit("access denied", missing_scopes=missing)
            raise MissingScopeError(missing)
        return principal
