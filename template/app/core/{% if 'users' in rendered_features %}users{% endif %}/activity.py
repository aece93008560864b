"""Records the use of sessions and API keys, after the response: reads do not wait for it."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.database import SessionFactory
from app.core.driver_errors import describe

# Key in the scope of a request for what records the use of its credentials.
RECORD_USE = "record_use"
RecordUse: TypeAlias = Callable[[SessionFactory], Awaitable[None]]

logger = structlog.get_logger("app.users")


def record_use(connection: HTTPConnection, function: RecordUse) -> None:
    """Call a function with the session factory once the response is sent."""
    connection.scope[RECORD_USE] = function


class ActivityMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
        function: RecordUse | None = scope.get(RECORD_USE)
        if function is None:
            return
        try:
            await function(scope["app"].state.session_factory)
        except Exception as error:
            # The response is sent; the next request tries again.
            logger.warning("use of credentials not recorded", **describe(error))


def install_activity(app: FastAPI) -> None:
    """Record the use of credentials; must be installed as `install_private_responses`."""
    app.add_middleware(ActivityMiddleware)
