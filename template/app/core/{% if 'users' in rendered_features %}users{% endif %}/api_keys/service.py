"""The API keys of an account, which only its sessions manage."""

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import func, select

from app.core.auth.audit import audit_after_commit
from app.core.auth.errors import MissingScopeError
from app.core.auth.principal import Principal
from app.core.database import Session, StoredRow, read_rows
from app.core.errors import ConflictError, ErrorDetail, InvalidError, NotFoundError
from app.core.models import utc_now
from app.core.users.account_locks import lock_own_account
from app.core.users.accounts import find_own
from app.core.users.api_keys.keys import new_api_key, revoke_api_keys
from app.core.users.api_keys.schemas import UserApiKeyCreate
from app.core.users.api_keys.settings import get_api_key_settings
from app.core.users.confirmation import confirm
from app.core.users.jobs import send_notice
from app.core.users.models import UserApiKey
from app.core.users.tables import API_KEYS
from app.core.users.throttling.throttle import Throttle
from app.core.users.tokens import hash_token

MAX_KEYS = 50
"""Keys of one account; those that have expired count until the job deletes them."""


class ApiKeyService:
    def __init__(self, session: Session, caller: Principal) -> None:
        self.session = session
        self.caller = caller
        self.user_id = UUID(caller.id)

    async def list_rows(self) -> list[StoredRow]:
        statement = (
            select(API_KEYS).where(API_KEYS.c.user_id == self.user_id).order_by(API_KEYS.c.id)
        )
        return [*await read_rows(self.session, statement, {})]

    async def create(
        self, data: UserApiKeyCreate, throttle: Throttle, password: str | None
    ) -> tuple[UserApiKey, str]:
        """Return a new key's row, and the key, which is stored nowhere.

        Raises what `confirm` and `lock_own_account` raise, MissingScopeError for scopes that the
        caller lacks, InvalidError for an expiry that is past or too late, and ConflictError if the
        account has MAX_KEYS keys.
        """
        own = await find_own(self.session, self.caller)
        await confirm(self.session, throttle, self.caller, own, password)
        if missing := {*data.scopes} - self.caller.scopes:
            raise MissingScopeError(missing)
        expires_at = check_expiry(data.expires_at)
        account = await lock_own_account(self.session, self.caller)
        await self._check_number()
        row, key = await self._insert(data, expires_at)
        await self._notify(account.email, row)
        return row, key

    async def _insert(self, data: UserApiKeyCreate, expires_at: datetime) -> tuple[UserApiKey, str]:
        key, prefix = new_api_key()
        row = UserApiKey(
            user_id=self.user_id,
            name=data.name,
            prefix=prefix,
            key_hash=hash_token(key),
            scopes=sorted({*data.scopes}),
            expires_at=expires_at,
        )
        self.session.add(row)
        await self.session.flush()
        audit_after_commit(
            self.session,
            "API key created",
            api_key_id=str(row.id),
            scopes=row.scopes,
            expires_at=expires_at,
        )
        return row, key

    async def delete(self, key_id: UUID) -> None:
        """Revoke a key. Raises NotFoundError, also for a key of another account."""
        if not await revoke_api_keys(self.session, self.user_id, ids=[key_id]):
            raise NotFoundError("API key", key_id)
        audit_after_commit(self.session, "API key revoked", api_key_id=str(key_id))

    async def delete_all(self) -> None:
        number = await revoke_api_keys(self.session, self.user_id)
        audit_after_commit(self.session, "all API keys revoked", number=number)

    async def _check_number(self) -> None:
        mine = select(func.count()).select_from(API_KEYS).where(API_KEYS.c.user_id == self.user_id)
        number = await self.session.scalar(mine)
        if cast(int, number) >= MAX_KEYS:
            raise ConflictError(f"The account has {MAX_KEYS} API keys; delete some first.")

    async def _notify(self, email: str, row: UserApiKey) -> None:
        await send_notice(
            self.session,
            email,
            "api_key_created",
            name=row.name,
            prefix=row.prefix,
            scopes=", ".join(row.scopes),
            expiry=f"{row.expires_at:%Y-%m-%d}",
        )


def check_expiry(expires_at: datetime | None) -> datetime:
    """Return when a key expires. Raises InvalidError if that is past or too late."""
    now = utc_now()
    latest = now + timedelta(seconds=get_api_key_settings().lifetime)
    if expires_at is None:
        return latest
    if not now < expires_at <= latest:
        reason = f"must be in the future, and no later than {latest.isoformat(timespec='seconds')}"
        detail = ErrorDetail(location=["body", "expires_at"], reason=reason)
        raise InvalidError(f"The expiry of an API key {reason}.", [detail])
    return expires_at
