"""Records the use of sessions, after the response: reads do not wait for it."""

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.driver_errors import describe
from app.core.users.authentication import USED_SESSION
from app.core.users.sessions import touch_session

logger = structlog.get_logger("app.users")


class SessionActivityMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
        if (session_id := scope.get(USED_SESSION)) is None:
            return
        try:
            await touch_session(scope["app"].state.session_factory, session_id)
        except Exception as error:
            # The response is sent; the next request tries again.
            logger.warning("use of a session not recorded", **describe(error))


def install_session_activity(app: FastAPI) -> None:
    """Record the use of sessions; must be installed as `install_private_responses`."""
    app.add_middleware(SessionActivityMiddleware)
