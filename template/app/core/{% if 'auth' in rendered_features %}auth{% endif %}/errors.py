"""Rejections of callers: 401 for unknown ones, 403 for known ones that lack a scope.

The `WWW-Authenticate` headers are those of https://www.rfc-editor.org/rfc/rfc6750#section-3
"""

from collections.abc import Collection
from http import HTTPStatus

from app.core.errors import AppError


class UnauthorizedError(AppError):
    """The request has no credentials, or they are invalid."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, *, invalid_token: bool = False) -> None:
        super().__init__(detail)
        # Without credentials, the header has no error code.
        challenge = 'Bearer error="invalid_token"' if invalid_token else "Bearer"
        self.headers = {"WWW-Authenticate": challenge}


class CredentialsMissingError(UnauthorizedError):
    """The request has no credentials, which is no security event: anyone may open a page."""


class ForbiddenError(AppError):
    """The caller may not do this."""

    status = HTTPStatus.FORBIDDEN


class MissingScopeError(ForbiddenError):
    """The caller lacks scopes that an operation requires."""

    def __init__(
        self, scopes: Collection[str], reason: str = "The credentials lack a required scope"
    ) -> None:
        names = " ".join(sorted(scopes))
        super().__init__(f"{reason}: {names}.")
        challenge = f'Bearer error="insufficient_scope", scope="{names}"'
        self.headers = {"WWW-Authenticate": challenge}
