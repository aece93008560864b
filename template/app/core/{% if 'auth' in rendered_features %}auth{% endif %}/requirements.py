"""What operations require of their callers."""

from typing import Annotated, Any, TypeAlias

from fastapi import Security

from app.core.auth.principal import Principal
from app.core.oidc.authentication import authenticate

Caller: TypeAlias = Annotated[Principal, Security(authenticate)]
"""The caller of an operation; any authenticated caller is allowed."""


def require(*scopes: str) -> Any:
    """Return a dependency of an operation that only callers with all of the scopes may use.

    Others get a 401 or a 403. The value is the caller: `Annotated[Principal, require(READ)]`.
    """
    return Security(authenticate, scopes=scopes)
