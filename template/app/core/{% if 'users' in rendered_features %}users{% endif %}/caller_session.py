"""The session of a caller, as the claims of its principal have it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.auth.errors import ForbiddenError
from app.core.auth.principal import Principal


class SessionRequiredError(ForbiddenError):
    """The operation does not accept API keys."""

    headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}

    def __init__(self) -> None:
        super().__init__("API keys are not accepted for this operation; log in instead.")


@dataclass(frozen=True)
class CallerSession:
    id: UUID
    authenticated_at: datetime
    """When the caller last proved who they are."""
    methods: tuple[str, ...]
    """How, such as `("password", "totp")`."""

    def to_claims(self) -> dict[str, Any]:
        return {
            "session_id": self.id,
            "authenticated_at": self.authenticated_at,
            "methods": self.methods,
        }


def require_session(principal: Principal) -> CallerSession:
    """Return the caller's session. Raises SessionRequiredError for a caller without one."""
    claims = principal.claims
    if "session_id" not in claims:
        raise SessionRequiredError
    return CallerSession(claims["session_id"], claims["authenticated_at"], claims["methods"])
