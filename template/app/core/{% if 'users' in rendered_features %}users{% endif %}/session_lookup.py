"""The sessions of tokens."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select

from app.core.users.tables import ACCOUNTS, SESSIONS
from app.core.users.token_lookup import TokenLookup


class SessionRow(NamedTuple):
    """A session, and its account."""

    session_id: UUID
    user_id: UUID
    authenticated_at: datetime
    methods: str
    last_seen_at: datetime
    expires_at: datetime
    roles: list[str]
    deactivated_at: datetime | None


# In the order of SessionRow.
COLUMNS = (
    *(SESSIONS.c.id, SESSIONS.c.user_id, SESSIONS.c.authenticated_at, SESSIONS.c.methods),
    *(SESSIONS.c.last_seen_at, SESSIONS.c.expires_at, ACCOUNTS.c.roles, ACCOUNTS.c.deactivated_at),
)
ROWS: Select[*tuple[Any, ...]] = select(*COLUMNS).join(
    ACCOUNTS, ACCOUNTS.c.id == SESSIONS.c.user_id
)
SESSION_LOOKUP = TokenLookup(SessionRow, ROWS, SESSIONS.c.token_hash)
