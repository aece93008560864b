"""Security headers, which keep browsers from rendering, embedding or sniffing responses.

https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
"""

from fastapi import FastAPI
from pydantic import Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.settings import EnvironmentSettings, read_settings

HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


class SecurityHeadersSettings(EnvironmentSettings, env_prefix="SECURITY_HEADERS_"):
    hsts_max_age: int = Field(default=31_536_000, ge=0)
    """Seconds for which browsers use only HTTPS for this host; 0 resets it."""


class SecurityHeadersMiddleware:
    """Adds the headers that a response lacks."""

    def __init__(self, app: ASGIApp, hsts_max_age: int) -> None:
        self.app = app
        hsts = (b"strict-transport-security", f"max-age={hsts_max_age}".encode())
        self.https_headers = [*HEADERS, hsts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = self.https_headers if scope.get("scheme") == "https" else HEADERS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                missing = [header for header in headers if header[0] not in present]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def install_security_headers(app: FastAPI) -> None:
    """Add the headers to every response; raises SettingsError."""
    settings = read_settings(SecurityHeadersSettings)
    app.add_middleware(SecurityHeadersMiddleware, hsts_max_age=settings.hsts_max_age)
