"""Logins: whatever proved who the caller is, it ends here."""

from app.core.auth.audit import audit
from app.core.database import Session
from app.core.users.models import UserAccount
from app.core.users.sessions import Device, start_session


async def complete_login(
    session: Session, account: UserAccount, device: Device, *, methods: list[str]
) -> str:
    """Start a session in a transaction and return its token; the only place that does.

    `methods` are what proved who the caller is, such as ["password", "totp"], for the audit log.
    """
    token = await start_session(session, account.id, device)
    audit("login", user_id=str(account.id), methods=methods)
    return token
