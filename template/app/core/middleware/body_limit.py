"""Request body limit; a route can override it with FastAPI's `max_body_size=`."""

from fastapi import FastAPI
from pydantic import Field
from starlette.middleware.body_limit import RequestBodyLimitMiddleware, RequestBodyLimitResponder
from starlette.types import Message, Receive, Scope, Send

from app.core.settings import EnvironmentSettings, read_settings


class BodyLimitSettings(EnvironmentSettings, env_prefix="BODY_LIMIT_"):
    bytes: int = Field(default=1024 * 1024, ge=0)
    """Maximum size of a request body in bytes."""


class BodyLimitMiddleware(RequestBodyLimitMiddleware):
    """Starlette's limit, which raises an error and so responds with problem details."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await BodyLimitResponder(self.app, self.max_body_size)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class BodyLimitResponder(RequestBodyLimitResponder):
    async def send_with_limit(self, message: Message) -> None:
        """Send the response of the route.

        Starlette replaces it with a plain 413 if `Content-Length` exceeds the limit, even if the
        route never read the body: a committed request would be reported as failed.
        """
        if message["type"] == "http.response.start":
            self.response_started = True
        await self.send(message)


def install_body_limit(app: FastAPI) -> None:
    """Respond with 413 to larger bodies; raises SettingsError."""
    settings = read_settings(BodyLimitSettings)
    app.add_middleware(BodyLimitMiddleware, max_body_size=settings.bytes)
