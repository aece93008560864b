"""Liveness and readiness, for whatever starts and watches the process."""

import asyncio

from fastapi import Request
from sqlalchemy import literal, select

from app.core import dialect
from app.core.database import SessionFactory
from app.core.database_log import log_unavailable
from app.core.errors import UnavailableError
from app.core.routing import ModuleRouter

SECONDS_TO_ANSWER = 5

router = ModuleRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "The database does not answer."}})
async def ready(request: Request) -> dict[str, str]:
    """The database answers as well."""
    factory: SessionFactory = request.app.state.session_factory
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER), factory() as session:
            await session.connection(execution_options=dialect.READING)
            await session.execute(select(literal(1)))
    except Exception as error:
        log_unavailable(error)
        # The type says what happened without the address or the user.
        reason = type(getattr(error, "orig", None) or error).__name__
        raise UnavailableError(f"The database does not answer: {reason}.") from error
    return {"status": "ok"}
