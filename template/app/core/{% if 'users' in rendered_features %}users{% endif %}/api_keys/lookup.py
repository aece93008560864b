"""The API keys that requests send."""

from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, select

from app.core.users.models import UserAccount, UserApiKey
from app.core.users.token_lookup import TokenLookup

KEY = cast(Table, UserApiKey.__table__)
ACCOUNT = cast(Table, UserAccount.__table__)


class ApiKeyRow(NamedTuple):
    """An API key, and its account."""

    id: UUID
    user_id: UUID
    scopes: list[str]
    expires_at: datetime
    last_used_at: datetime | None
    roles: list[str]
    deactivated_at: datetime | None


# The columns in the order of ApiKeyRow.
FIND: Select[*tuple[Any, ...]] = (
    select(
        *(KEY.c.id, KEY.c.user_id, KEY.c.scopes, KEY.c.expires_at, KEY.c.last_used_at),
        *(ACCOUNT.c.roles, ACCOUNT.c.deactivated_at),
    )
    .join(ACCOUNT, ACCOUNT.c.id == KEY.c.user_id)
    .where(KEY.c.key_hash == bindparam("token_hash"))
)
API_KEYS = TokenLookup(ApiKeyRow, FIND)
