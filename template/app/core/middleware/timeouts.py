"""Request timeouts: the time limit until a response starts."""

import asyncio

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import UnavailableError, problem
from app.core.settings import EnvironmentSettings, Seconds, read_settings


class TimeoutSettings(EnvironmentSettings, env_prefix="REQUEST_"):
    timeout: Seconds = 60
    """Seconds until the response starts; a stream, or a commit in progress, may take longer."""


class TimeoutMiddleware:
    """Cancels slow handlers, which rolls back their transaction, and responds with 503.

    A commit in progress is not cancelled, and decides the response (app.core.database).
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_in_time(message: Message) -> None:
            # A handler that catches its cancellation, or a commit that had started, responds late.
            if message["type"] == "http.response.start" and not timeout.expired():
                timeout.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self.seconds) as timeout:
                await self.app(scope, receive, send_in_time)
        except TimeoutError:
            if not timeout.expired():
                raise
            detail = f"The request timed out after {self.seconds:g} s."
            response = problem(UnavailableError.status, detail, headers=UnavailableError.headers)
            await response(scope, receive, send)


def install_timeouts(app: FastAPI) -> None:
    app.add_middleware(TimeoutMiddleware, seconds=read_settings(TimeoutSettings).timeout)
