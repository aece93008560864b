"""A name for each request: in its response, in every line of its log, in its problems."""

import re

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars
from uuid_utils import uuid7

HEADER = b"x-request-id"
# What a caller may choose: nothing that could be taken for something else in a log.
ACCEPTED = re.compile(rb"[\w.:-]{1,128}")


class RequestIdMiddleware:
    """Takes the caller's `X-Request-ID`, or makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return await self.app(scope, receive, send)
        given = b""
        for name, value in scope["headers"]:
            if name == HEADER:
                given = value
                break
        request_id = given if ACCEPTED.fullmatch(given) else uuid7().hex.encode()
        # Never unbound: a server runs each request in a context of its own, and what it logs of a
        # request that failed comes after this.
        bind_contextvars(request_id=request_id.decode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id)]
            await send(message)

        await self.app(scope, receive, send_with_id)


def install_request_id(app: FastAPI) -> None:
    app.add_middleware(RequestIdMiddleware)
