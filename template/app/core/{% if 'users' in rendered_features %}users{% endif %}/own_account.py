"""What callers see and end of their own accounts."""

from collections.abc import Iterable
from uuid import UUID

from app.core.auth.audit import audit_after_commit
from app.core.auth.principal import Principal
from app.core.database import Session, StoredRow
from app.core.errors import NotFoundError
from app.core.models import utc_now
from app.core.users.account_locks import lock_own_account
from app.core.users.accounts import find_own
from app.core.users.api_keys.keys import revoke_api_keys
from app.core.users.caller_session import require_session
from app.core.users.confirmation import check_recent_login, confirm, confirm_with_one_factor
from app.core.users.jobs import send_notice
from app.core.users.one_time_tokens import delete_tokens
from app.core.users.sessions import end_session, end_sessions, list_sessions
from app.core.users.throttling.throttle import Throttle


class OwnAccount:
    def __init__(self, session: Session, principal: Principal) -> None:
        self.session = session
        self.principal = principal
        self.user_id = UUID(principal.id)

    async def get(self) -> StoredRow:
        return await find_own(self.session, self.principal)

    async def list_sessions(self) -> list[StoredRow]:
        require_session(self.principal)
        return await list_sessions(self.session, self.user_id)

    async def end_session(self, key: UUID) -> None:
        """End one session. Raises NotFoundError for that of another account, and
        LoginRequiredError unless it is the caller's, or their login is recent."""
        if key != require_session(self.principal).id:
            check_recent_login(self.principal)
        if not await end_sessions(self.session, self.user_id, ids=[key]):
            raise NotFoundError("session", key)
        audit_after_commit(
            self.session, "session ended", user_id=self.principal.id, session_id=str(key)
        )

    async def end_all_sessions(self, throttle: Throttle, password: str | None) -> None:
        """End all sessions, also the caller's, and all links.

        Raises what `confirm_with_one_factor` and `lock_own_account` raise.
        """
        await confirm_with_one_factor(throttle, self.principal, await self.get(), password)
        account = await lock_own_account(self.session, self.principal)
        await end_sessions(self.session, self.user_id)
        # An attacker with a session may have requested one to a new address.
        await delete_tokens(self.session, account)
        audit_after_commit(self.session, "all sessions ended", user_id=self.principal.id)

    async def deactivate(self, throttle: Throttle, password: str | None) -> None:
        """End sessions, API keys and links; only administrators can activate the account again.

        Raises what `confirm` and `lock_own_account` raise.
        """
        row = await self.get()
        await confirm(self.session, throttle, self.principal, row, password)
        account = await lock_own_account(self.session, self.principal)
        account.deactivated_at = utc_now()
        await end_sessions(self.session, self.user_id)
        await revoke_api_keys(self.session, self.user_id)
        await delete_tokens(self.session, account)
        await send_notice(self.session, account.email, "account_deactivated")
        audit_after_commit(self.session, "account deactivated", user_id=self.principal.id)

    async def delete(self, throttle: Throttle, password: str | None) -> None:
        """Delete the account, with its sessions and links.

        Raises what `confirm` and `lock_own_account` raise.
        """
        row = await self.get()
        await confirm(self.session, throttle, self.principal, row, password)
        account = await lock_own_account(self.session, self.principal)
        await self.session.delete(account)
        await self.session.flush()
        await send_notice(self.session, account.email, "account_deleted")
        audit_after_commit(self.session, "account deleted", user_id=self.principal.id)


async def log_out(session: Session, tokens: Iterable[str]) -> None:
    """End the sessions with these tokens, as far as there are any."""
    for token in tokens:
        if user_id := await end_session(session, token):
            audit_after_commit(session, "logout", user_id=str(user_id))
