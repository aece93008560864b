"""The session of a caller, as the claims of its principal have it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.auth.errors import ForbiddenError
from app.core.auth.principal import Principal


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
    """Return the caller's session. Raises ForbiddenError for a caller without one."""
    claims = principal.claims
    if "session_id" not in claims:
        raise ForbiddenError("This operation needs a session; log in with a password.")
    return CallerSession(claims["session_id"], claims["authenticated_at"], claims["methods"])
