"""Liveness and readiness probes."""

import asyncio

from fastapi import Request
from sqlalchemy import literal, select

from app.core import dialect
from app.core.database import SessionFactory
from app.core.database_errors import log_unavailable
from app.core.errors import UnavailableError
from app.core.routing import APIRouter

READINESS_TIMEOUT = 5

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """Return 200 while the process is running."""
    return {"status": "ok"}


@router.get("/ready", responses={503: {"description": "The database is unavailable."}})
async def ready(request: Request) -> dict[str, str]:
    """Return 200 if the database is reachable, otherwise 503."""
    factory: SessionFactory = request.app.state.session_factory
    try:
        async with asyncio.timeout(READINESS_TIMEOUT), factory() as session:
            await session.connection(execution_options=dialect.READ_ONLY)
            await session.execute(select(literal(1)))
    except Exception as error:
        log_unavailable(error)
        # Only the type: the message may contain the address and the user.
        reason = type(getattr(error, "orig", None) or error).__name__
        raise UnavailableError(f"The database is unavailable: {reason}.") from error
    return {"status": "ok"}
