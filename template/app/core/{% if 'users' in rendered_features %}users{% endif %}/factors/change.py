"""A change of the caller's second factors: who may make one, and what follows."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import delete, false, not_, or_

from app.core.auth.audit import audit_after_commit
from app.core.auth.principal import Principal
from app.core.database import Session
from app.core.errors import ConflictError
from app.core.users.account_locks import lock_own_account
from app.core.users.caller_session import require_session
from app.core.users.confirmation import check_recent_login
from app.core.users.factors.challenges import delete_challenges
from app.core.users.factors.recovery_codes import delete_recovery_codes, replace_recovery_codes
from app.core.users.factors.second_factors import list_methods
from app.core.users.factors.settings import get_factor_settings
from app.core.users.jobs import send_notice
from app.core.users.login import complete_login
from app.core.users.models import UserAccount
from app.core.users.sessions import Device
from app.core.users.tables import SESSIONS


@dataclass(frozen=True)
class Added:
    """The token that replaces the caller's, and the first recovery codes of the account."""

    token: str = field(repr=False)
    recovery_codes: list[str] | None = field(default=None, repr=False)


class FactorChange:
    """The caller's session is replaced by one that has proved the new factor.

    Their other sessions end, unless `keeps_sessions` is set.
    """

    def __init__(
        self,
        session: Session,
        principal: Principal,
        device: Device,
        *,
        keeps_sessions: bool = False,
    ) -> None:
        self.session = session
        self.principal = principal
        self.user_id = UUID(principal.id)
        self.device = device
        self.keeps_sessions = keeps_sessions

    async def authorize(self) -> tuple[UserAccount, list[str]]:
        """Return the caller's account, locked, and the names of its factors.

        Raises LoginRequiredError unless its recent login has proved one, if there is any, and what
        `lock_own_account` raises.
        """
        account = await lock_own_account(self.session, self.principal)
        methods = await list_methods(self.session, account.id)
        check_recent_login(self.principal, methods)
        return account, methods

    async def complete(
        self, account: UserAccount, method: str, before: list[str], factor: str
    ) -> Added:
        """Start the session that replaces the caller's; `before` are the other factors."""
        codes = None if before else await replace_recovery_codes(self.session, account.id)
        proved = dict.fromkeys([*require_session(self.principal).methods, method])
        await self._end_sessions(account, keeps_own=False)
        token = await complete_login(
            self.session,
            account,
            self.device,
            methods=[*proved],
            authenticated_at=require_session(self.principal).authenticated_at,
        )
        audit_after_commit(
            self.session, "second factor added", user_id=self.principal.id, method=method
        )
        await send_notice(self.session, account.email, "second_factor_added", factor=factor)
        return Added(token, codes)

    async def complete_removal(self, account: UserAccount, method: str, factor: str) -> None:
        """Raises ConflictError if the removed factor was the last one, and one is required."""
        if not await list_methods(self.session, account.id):
            if get_factor_settings().second_factor == "required":
                raise ConflictError("A second factor is required; add another one first.")
            await delete_recovery_codes(self.session, account.id)
        await self._end_sessions(account, keeps_own=True)
        audit_after_commit(
            self.session, "second factor removed", user_id=self.principal.id, method=method
        )
        await send_notice(self.session, account.email, "second_factor_removed", factor=factor)

    async def _end_sessions(self, account: UserAccount, *, keeps_own: bool) -> None:
        """End the other sessions, unless they are kept, and the caller's, if it is replaced."""
        own = SESSIONS.c.id == require_session(self.principal).id
        ended = false() if self.keeps_sessions else not_(own)
        if not keeps_own:
            ended = or_(ended, own)
        await self.session.execute(delete(SESSIONS).where(SESSIONS.c.user_id == account.id, ended))
        if not self.keeps_sessions:
            # Those that know only the password.
            await delete_challenges(self.session, account.id)
