"""HEAD requests for every GET route (RFC 9110): same status and headers, no body."""

import asyncio

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.routing import has_route


class HeadMiddleware:
    """Runs GET for HEAD, unless a route handles HEAD, and adds HEAD to the `Allow` of a 405."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self.app(scope, receive, send)
        elif scope["method"] == "HEAD" and not has_route(scope):
            await self.get_headers({**scope, "method": "GET"}, receive, send)
        else:
            await self.app(scope, receive, allow_head(send))

    async def get_headers(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response to GET without its body, which may be endless."""
        ended = False

        async def send_headers(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
                return
            if not ended:
                ended = True
                await send({"type": "http.response.body"})
            if message.get("more_body"):
                body.reschedule(asyncio.get_running_loop().time())
                # Lets the timeout cancel a stream that never awaits.
                await asyncio.sleep(0)

        try:
            async with asyncio.timeout(None) as body:
                await self.app(scope, receive, send_headers)
        except TimeoutError:
            if not body.expired():
                raise


def allow_head(send: Send) -> Send:
    async def send_with_head(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405:
            headers = MutableHeaders(raw=message["headers"])
            methods = headers.get("Allow", "").split(", ")
            if "GET" in methods and "HEAD" not in methods:
                methods.insert(methods.index("GET") + 1, "HEAD")
                headers["Allow"] = ", ".join(methods)
        await send(message)

    return send_with_head


def install_head_requests(app: FastAPI) -> None:
    app.add_middleware(HeadMiddleware)
