"""Logins: whatever proved who the caller is, they end in `complete_login`."""

from collections.abc import Sequence, Set
from datetime import datetime

from sqlalchemy import delete, select

from app.core.auth.audit import audit_after_commit
from app.core.database import Session
from app.core.users.models import UserAccount, UserSession
from app.core.users.session_lifetimes import is_ended
from app.core.users.sessions import Device, end_session, start_session
from app.core.users.settings import get_users_settings


async def complete_login(
    session: Session,
    account: UserAccount,
    device: Device,
    *,
    methods: Sequence[str],
    replaces: Set[str] = frozenset(),
    authenticated_at: datetime | None = None,
) -> str:
    """Start a session in a transaction and return its token; the only place that does.

    The account is locked: see `lock_account`. `methods` are what proved who the caller is, such as
    `["password", "totp"]`, at `authenticated_at`, by default now. The sessions with the tokens
    `replaces` end.
    """
    for replaced in replaces:
        await end_session(session, replaced)
    await _end_excess_sessions(session, account)
    token = await start_session(
        session, account.id, device, methods=methods, authenticated_at=authenticated_at
    )
    audit_after_commit(
        session, "login", user_id=str(account.id), methods=list(methods), address=device.address
    )
    return token


async def _end_excess_sessions(session: Session, account: UserAccount) -> None:
    """Make room for one more session within the limit, which those that have ended do not use."""
    of_account = UserSession.user_id == account.id
    await session.execute(delete(UserSession).where(of_account, is_ended()))
    newest_first = (
        select(UserSession.id)
        .where(of_account)
        .order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())
        # MySQL has no OFFSET without LIMIT.
        .limit(1000)
        .offset(get_users_settings().session_limit - 1)
    )
    if excess := [*await session.scalars(newest_first)]:
        await session.execute(delete(UserSession).where(UserSession.id.in_(excess)))
