"""The API keys that requests send."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select

from app.core.users.tables import ACCOUNTS, API_KEYS
from app.core.users.token_lookup import TokenLookup


class ApiKeyRow(NamedTuple):
    """An API key, and its account."""

    id: UUID
    user_id: UUID
    scopes: list[str]
    expires_at: datetime
    last_used_at: datetime | None
    roles: list[str]
    deactivated_at: datetime | None


# In the order of ApiKeyRow.
COLUMNS = (
    *(API_KEYS.c.id, API_KEYS.c.user_id, API_KEYS.c.scopes, API_KEYS.c.expires_at),
    *(API_KEYS.c.last_used_at, ACCOUNTS.c.roles, ACCOUNTS.c.deactivated_at),
)
ROWS: Select[*tuple[Any, ...]] = select(*COLUMNS).join(
    ACCOUNTS, ACCOUNTS.c.id == API_KEYS.c.user_id
)
API_KEY_LOOKUP = TokenLookup(ApiKeyRow, ROWS, API_KEYS.c.key_hash)
