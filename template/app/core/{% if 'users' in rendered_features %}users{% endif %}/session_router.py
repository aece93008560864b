"""Operations of callers on their own sessions."""

from typing import Any
from uuid import UUID

from fastapi import Response

from app.core.auth.requirements import Caller
from app.core.database import SessionDep
from app.core.routing import APIRouter
from app.core.users.account_router import reveal
from app.core.users.caller_session import require_session
from app.core.users.cookies import delete_session_cookie
from app.core.users.dependencies import ThrottleDep
from app.core.users.own_account import OwnAccount
from app.core.users.schemas import ConfirmationRequest, UserSessionRead

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


@router.get("/sessions", response_model=list[UserSessionRead])
async def list_sessions(session: SessionDep, caller: Caller) -> list[dict[str, Any]]:
    """Return the caller's sessions, the last one used first."""
    rows = await OwnAccount(session, caller).list_sessions()
    current = require_session(caller).id
    return [{**row._mapping, "is_current": row.id == current} for row in rows]


@router.delete("/sessions/{session_id:uuid}", status_code=204)
async def end_session(session: SessionDep, caller: Caller, session_id: UUID) -> None:
    """End a session of the caller; another one than that of the request needs a recent login."""
    await OwnAccount(session, caller).end_session(session_id)


@router.post("/logout-everywhere", status_code=204)
async def logout_everywhere(
    session: SessionDep,
    caller: Caller,
    throttle: ThrottleDep,
    data: ConfirmationRequest,
    response: Response,
) -> None:
    """End all sessions of the caller, including that of the request."""
    await OwnAccount(session, caller).end_all_sessions(throttle, reveal(data.current_password))
    delete_session_cookie(response)
