"""Protection from cross-site requests, which browsers send with cookies.

https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from fastapi.requests import HTTPConnection

from app.core.auth.audit import audit
from app.core.auth.errors import ForbiddenError
from app.core.database import SAFE_METHODS
from app.core.middleware.cors import CORSSettings


class CrossSiteError(ForbiddenError):
    """A page of another site has sent the request."""

    def __init__(self) -> None:
        super().__init__(
            "The request comes from a page of another site. To allow it, list its origin in"
            " CORS_ALLOW_ORIGINS and set CORS_ALLOW_CREDENTIALS."
        )


class TrustedOrigins:
    """The origins whose pages may send requests with cookies."""

    def __init__(self, cors: CORSSettings) -> None:
        self.origins = cors.allow_origins if cors.allow_credentials else ()
        self.pattern = cors.allow_origin_regex if cors.allow_credentials else None

    def __contains__(self, origin: str) -> bool:
        if self.pattern and self.pattern.fullmatch(origin):
            return True
        return origin in self.origins


def is_cross_site(connection: HTTPConnection) -> bool:
    """Return whether a page of an origin that is not trusted has sent the request."""
    origin = connection.headers.get("Origin")
    if origin is not None and origin in connection.app.state.trusted_origins:
        return False
    site = connection.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    # Browsers from before 2023. Without either header, it is not a browser.
    return origin is not None and origin.partition("://")[2] != connection.headers.get("Host")


async def reject_cross_site(connection: HTTPConnection) -> None:
    """Raise CrossSiteError for a cross-site request that may change something.

    A dependency of operations that set cookies; app.core.users.authentication calls it for those
    that are authenticated by one.
    """
    # A handshake of a WebSocket has no method here, and cookies.
    if connection.scope.get("method") not in SAFE_METHODS and is_cross_site(connection):
        audit("cross-site request rejected", origin=connection.headers.get("Origin"))
        raise CrossSiteError
