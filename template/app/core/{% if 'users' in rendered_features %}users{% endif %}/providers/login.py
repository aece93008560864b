"""What follows when a provider has proved who the user is: a login, or a linked identity."""

from collections.abc import Set
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, select

from app.core.auth.audit import audit, audit_after_commit
from app.core.auth.errors import ForbiddenError
from app.core.database import Session, read_rows
from app.core.errors import ConflictError
from app.core.users.account_locks import lock_account_of_session
from app.core.users.factors.second_factors import list_methods, start_second_step
from app.core.users.login import complete_login
from app.core.users.methods import PROVIDER, PROVIDER_SECOND_FACTOR
from app.core.users.models import UserAccount
from app.core.users.passwords.login import LoginResult
from app.core.users.providers.accounts import find_or_create_account
from app.core.users.providers.claims import ProvenIdentity
from app.core.users.providers.client import LoginProvider
from app.core.users.providers.identities import link_identity
from app.core.users.providers.proof import LONG_AGO, Callback, ProviderProof
from app.core.users.providers.started_logins import LoginNotStartedError, StartedLogins
from app.core.users.sessions import Device
from app.core.users.tables import SESSIONS

OWNER = select(SESSIONS.c.user_id).where(SESSIONS.c.id == bindparam("wanted"))


@dataclass(frozen=True)
class ProviderLoginResult(LoginResult):
    return_to: str | None = None
    is_linked: bool = False


class ProviderLogin:
    def __init__(self, session: Session, provider: LoginProvider) -> None:
        self.session = session
        self.provider = provider

    async def finish(
        self,
        logins: StartedLogins,
        cookie: str,
        callback: Callback,
        device: Device,
        replaces: Set[str] = frozenset(),
    ) -> ProviderLoginResult:
        """Log in, or link an identity, as the login with this state was started for.

        Raises what `ProviderProof.finish`, `find_or_create_account` and `link_identity` raise.
        """
        proven, started = await ProviderProof(self.provider).finish(logins, cookie, callback)
        try:
            if started.session_id:
                await self._link(proven, started.session_id)
                return ProviderLoginResult(return_to=started.return_to, is_linked=True)
            account = await find_or_create_account(self.session, proven, self.provider.label)
        except (ConflictError, ForbiddenError) as error:
            reason = type(error).__name__
            audit("provider login rejected", provider=self.provider.name, reason=reason)
            raise
        return await self._log_in(account, proven, device, replaces, started.return_to)

    async def _log_in(
        self,
        account: UserAccount,
        proven: ProvenIdentity,
        device: Device,
        replaces: Set[str],
        return_to: str | None,
    ) -> ProviderLoginResult:
        audit_after_commit(
            self.session, "provider login", provider=self.provider.name, user_id=str(account.id)
        )
        factors = await list_methods(self.session, account.id)
        if factors and not proven.has_second_factor:
            challenge = await start_second_step(
                self.session,
                account,
                login_methods(proven),
                authenticated_at=proven.authenticated_at or LONG_AGO,
            )
            return ProviderLoginResult(None, challenge, factors, return_to)
        token = await complete_login(
            self.session,
            account,
            device,
            methods=login_methods(proven),
            replaces=replaces,
            authenticated_at=proven.authenticated_at or LONG_AGO,
        )
        return ProviderLoginResult(token, return_to=return_to)

    async def _link(self, proven: ProvenIdentity, session_id: UUID) -> None:
        # Without a transaction: on MySQL, it would not see what others commit before the lock.
        found = await read_rows(self.session, OWNER, {"wanted": session_id})
        user_id = found[0].user_id if found else None
        account = user_id and await lock_account_of_session(self.session, user_id, session_id)
        if not account:
            # Logged out meanwhile.
            raise LoginNotStartedError
        await link_identity(self.session, account, proven, self.provider.label)


def login_methods(proven: ProvenIdentity) -> list[str]:
    return [PROVIDER, *([PROVIDER_SECOND_FACTOR] if proven.has_second_factor else [])]
