"""How large the body of a request may be; a route may differ with FastAPI's `max_body_size=`."""

from fastapi import FastAPI
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.middleware.body_limit import RequestBodyLimitMiddleware, RequestBodyLimitResponder
from starlette.types import Message, Receive, Scope, Send

from app.core.settings import FROM_ENVIRONMENT, read_settings


class BodyLimitSettings(BaseSettings):
    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="BODY_LIMIT_")

    bytes: int = Field(default=1024 * 1024, ge=0)


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's limit, which raises when too much is read, and so gives problem details."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Responder(self.app, self.max_body_size)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Responder(RequestBodyLimitResponder):
    async def send_with_limit(self, message: Message) -> None:
        """Send what the route answers.

        Starlette puts a plain 413 in its place if the body, even one that the route did not read,
        was announced as too large: after the commit, a failure would be reported that is none.
        """
        if message["type"] == "http.response.start":
            self.response_started = True
        await self.send(message)


def install_body_limit(app: FastAPI) -> None:
    """Refuse to read more of a body than the limit; raises SettingsError."""
    settings = read_settings(BodyLimitSettings)
    app.add_middleware(BodyLimit, max_body_size=settings.bytes)
