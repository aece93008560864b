"""Administration of accounts by callers with the scopes of app.core.users.permissions."""

from collections.abc import Collection, Iterable
from uuid import UUID

from app.core.auth.audit import audit, audit_after_commit
from app.core.auth.errors import ForbiddenError, MissingScopeError
from app.core.auth.principal import Principal
from app.core.database import Session, StoredRow
from app.core.errors import ErrorDetail, InvalidError, NotFoundError
from app.core.jobs import enqueue
from app.core.models import utc_now
from app.core.optimistic_locking import check_version
from app.core.pagination import PageQuery, PageResult
from app.core.repository import Repository
from app.core.users.accounts import create_account
from app.core.users.api_keys.keys import revoke_api_keys
from app.core.users.confirmation import require_recent_login
from app.core.users.factors.reset import reset_second_factors
from app.core.users.jobs import send_invitation
from app.core.users.models import UserAccount
from app.core.users.one_time_tokens import delete_tokens
from app.core.users.roles import RoleScopes
from app.core.users.schemas import UserQuery
from app.core.users.sessions import end_sessions


class UserRepository(Repository[UserAccount]):
    model = UserAccount
    page_query = UserQuery


class UnknownRoleError(InvalidError):
    def __init__(self, unknown: Iterable[str], known: Iterable[str]) -> None:
        reason = f"unknown: {', '.join(unknown)}; expected some of {', '.join(known)}"
        detail = ErrorDetail(location=["body", "roles"], reason=reason)
        super().__init__("Some roles do not exist.", [detail])


class UserAdministration:
    """Nobody can grant a scope that they lack, or change an account that has one.

    What gives access, or cannot be undone, needs a recent login: it raises what
    `require_recent_login` raises. What takes access away must be possible at once.
    """

    def __init__(self, session: Session, principal: Principal, roles: RoleScopes) -> None:
        self.session = session
        self.principal = principal
        self.roles = roles
        self.repository = UserRepository(session)

    async def get_row(self, key: UUID) -> StoredRow:
        row = await self.repository.get_row(key)
        if row is None:
            raise NotFoundError("user", key)
        return row

    async def list_rows(self, query: PageQuery) -> PageResult[StoredRow]:
        return await self.repository.list_rows(query)

    async def invite(self, email: str, roles: Collection[str]) -> UserAccount:
        """Create an account without a password, and send a link that sets one.

        An address that has an account is a 409. Roles need a recent login.
        """
        if roles:
            await require_recent_login(self.session, self.principal)
        self._check_roles(roles)
        account = await create_account(self.session, email, roles=without_repetitions(roles))
        await enqueue(self.session, send_invitation, email)
        self._audit("user invited", account, roles=account.roles)
        return account

    async def set_roles(
        self, key: UUID, roles: Collection[str], if_match: str | None
    ) -> UserAccount:
        """Replace the roles of an account. Needs a recent login."""
        await require_recent_login(self.session, self.principal)
        account = await self._get_for_change(key)
        check_version(account, if_match)
        self._check_roles(roles)
        account.roles = without_repetitions(roles)
        await self.session.flush()
        self._audit("roles set", account, roles=account.roles)
        return account

    async def deactivate(self, key: UUID) -> UserAccount:
        """End the sessions, API keys and links of an account, and reject logins."""
        account = await self._get_for_change(key)
        account.deactivated_at = account.deactivated_at or utc_now()
        await self.session.flush()
        await end_sessions(self.session, key)
        await revoke_api_keys(self.session, key)
        await delete_tokens(self.session, account)
        self._audit("user deactivated", account)
        return account

    async def activate(self, key: UUID) -> UserAccount:
        """Accept logins again. Needs a recent login."""
        await require_recent_login(self.session, self.principal)
        account = await self._get_for_change(key)
        account.deactivated_at = None
        await self.session.flush()
        self._audit("user activated", account)
        return account

    async def end_sessions(self, key: UUID) -> None:
        """End the sessions and the links of an account."""
        account = await self._get_for_change(key)
        await end_sessions(self.session, key)
        await delete_tokens(self.session, account)
        self._audit("user's sessions ended", account)

    async def reset_second_factors(self, key: UUID) -> None:
        """Delete the second factors of an account, and end its sessions. Needs a recent login."""
        await require_recent_login(self.session, self.principal)
        await reset_second_factors(self.session, await self._get_for_change(key))

    async def delete(self, key: UUID, if_match: str | None) -> None:
        """Delete an account with what belongs to it. Needs a recent login."""
        await require_recent_login(self.session, self.principal)
        account = await self._get_for_change(key)
        check_version(account, if_match)
        await self.session.delete(account)
        await self.session.flush()
        self._audit("user deleted", account)

    async def _get_for_change(self, key: UUID) -> UserAccount:
        """Return an account, locked. Raises NotFoundError and ForbiddenError."""
        account = await self.session.get(UserAccount, key, with_for_update={"key_share": True})
        if account is None:
            raise NotFoundError("user", key)
        if str(account.id) == self.principal.id:
            raise ForbiddenError("Administrators cannot change their own accounts.")
        self._check_scopes(account.roles, "The account has scopes that you lack")
        return account

    def _check_roles(self, roles: Collection[str]) -> None:
        if unknown := sorted({*roles} - self.roles.roles.keys()):
            raise UnknownRoleError(unknown, sorted(self.roles.roles))
        self._check_scopes(roles, "The roles grant scopes that you lack")

    def _check_scopes(self, roles: Collection[str], reason: str) -> None:
        if missing := sorted(self.roles.scopes(roles) - self.principal.scopes):
            audit("access denied", missing_scopes=missing)
            raise MissingScopeError(missing, reason)

    def _audit(self, event: str, account: UserAccount, **details: object) -> None:
        audit_after_commit(self.session, event, target_id=str(account.id), **details)


def without_repetitions(roles: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(roles)]
