"""Lost second factors: others remove them, and the owner is notified."""

from app.core.auth.audit import audit_after_commit
from app.core.database import Session
from app.core.users.factors.passkeys import delete_passkeys
from app.core.users.factors.recovery_codes import delete_recovery_codes
from app.core.users.factors.totp import delete_totp
from app.core.users.jobs import send_notice
from app.core.users.models import UserAccount
from app.core.users.one_time_tokens import delete_tokens
from app.core.users.sessions import end_sessions


async def reset_second_factors(session: Session, account: UserAccount) -> None:
    """Delete all second factors of an account, and end its sessions and links.

    Its next login needs only the password, or another first factor.
    """
    account.code_failures = 0
    await delete_totp(session, account.id)
    await delete_passkeys(session, account.id)
    await delete_recovery_codes(session, account.id)
    await end_sessions(session, account.id)
    await delete_tokens(session, account)
    audit_after_commit(session, "second factors reset", target_id=str(account.id))
    await send_notice(session, account.email, "second_factors_reset")
