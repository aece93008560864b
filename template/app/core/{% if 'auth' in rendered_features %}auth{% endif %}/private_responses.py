"""Headers that keep what one caller gets out of caches."""

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.auth.authentication import ASKED_FOR_PRINCIPAL


class PrivateResponsesMiddleware:
    """Adds `Cache-Control: no-store` and `Vary` to responses that depend on the caller."""

    def __init__(self, app: ASGIApp, vary: str) -> None:
        self.app = app
        self.vary = vary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_private(message: Message) -> None:
            if message["type"] == "http.response.start" and ASKED_FOR_PRINCIPAL in scope:
                headers = MutableHeaders(raw=message["headers"])
                # A handler may allow the caller's own cache.
                headers.setdefault("Cache-Control", "no-store")
                headers.add_vary_header(self.vary)
                message["headers"] = headers.raw
            await send(message)

        await self.app(scope, receive, send_private)


def install_private_responses(app: FastAPI, vary: str) -> None:
    """Mark responses to authenticated requests; `vary` lists the headers with credentials.

    Must be installed first, so that it shares the scope of the request with the operations.
    """
    app.add_middleware(PrivateResponsesMiddleware, vary=vary)
