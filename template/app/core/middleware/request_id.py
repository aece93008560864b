"""Request IDs: in the response header, in every log line and in problem details."""

import re

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars
from uuid_utils import uuid7

HEADER = b"x-request-id"
# Excludes characters that could forge log lines.
VALID_ID = re.compile(rb"[\w.:-]{1,128}")


class RequestIdMiddleware:
    """Uses the client's `X-Request-ID`, or generates one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return await self.app(scope, receive, send)
        client_id = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = client_id if VALID_ID.fullmatch(client_id) else uuid7().hex.encode()
        # Never unbound: servers run each request in its own context, and log failures after this
        # middleware has returned.
        bind_contextvars(request_id=request_id.decode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id)]
            await send(message)

        await self.app(scope, receive, send_with_id)


def install_request_id(app: FastAPI) -> None:
    app.add_middleware(RequestIdMiddleware)
