"""The identities of an account, which only its sessions manage."""

from uuid import UUID

from app.core.auth.principal import Principal
from app.core.database import Session, StoredRow
from app.core.users.account_locks import lock_own_account
from app.core.users.accounts import find_own
from app.core.users.caller_session import require_session
from app.core.users.confirmation import confirm
from app.core.users.providers.identities import list_identities, remove_identity
from app.core.users.providers.login_providers import LoginProviders
from app.core.users.providers.proof import ProviderProof
from app.core.users.throttling.throttle import Throttle


class IdentityService:
    def __init__(self, session: Session, caller: Principal, providers: LoginProviders) -> None:
        self.session = session
        self.caller = caller
        self.providers = providers
        self.user_id = UUID(caller.id)

    async def list_rows(self) -> list[StoredRow]:
        return await list_identities(self.session, self.user_id)

    async def link(
        self,
        name: str,
        cookie: str,
        return_to: str | None,
        throttle: Throttle,
        password: str | None,
    ) -> str:
        """Return where the browser goes to prove an identity.

        Raises NotFoundError for an unknown provider, UnavailableError, TooManyRequestsError, and
        what `confirm` raises.
        """
        provider = self.providers.get(name)
        await self._confirm(throttle, password)
        await throttle.count_provider_login()
        proof = ProviderProof(provider)
        own_session = require_session(self.caller).id
        return await proof.start(self.session, cookie, return_to, session_id=own_session)

    async def unlink(self, identity_id: UUID, throttle: Throttle, password: str | None) -> None:
        """Raises NotFoundError, OnlyWayInError, and what `confirm` and `lock_own_account` raise."""
        await self._confirm(throttle, password)
        account = await lock_own_account(self.session, self.caller)
        await remove_identity(self.session, account, identity_id, self.providers)

    async def _confirm(self, throttle: Throttle, password: str | None) -> None:
        account = await find_own(self.session, self.caller)
        await confirm(self.session, throttle, self.caller, account, password)
