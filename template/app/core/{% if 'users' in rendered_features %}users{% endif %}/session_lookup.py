"""The sessions of tokens."""

from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, select

from app.core.users.models import UserAccount, UserSession
from app.core.users.token_lookup import TokenLookup

SESSION = cast(Table, UserSession.__table__)
ACCOUNT = cast(Table, UserAccount.__table__)


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
    *(SESSION.c.id, SESSION.c.user_id, SESSION.c.authenticated_at, SESSION.c.methods),
    *(SESSION.c.last_seen_at, SESSION.c.expires_at, ACCOUNT.c.roles, ACCOUNT.c.deactivated_at),
)
FIND: Select[*tuple[Any, ...]] = (
    select(*COLUMNS)
    .join(ACCOUNT, ACCOUNT.c.id == SESSION.c.user_id)
    .where(SESSION.c.token_hash == bindparam("token_hash"))
)
SESSIONS = TokenLookup(SessionRow, FIND)
