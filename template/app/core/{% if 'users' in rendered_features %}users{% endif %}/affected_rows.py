"""How many rows a statement has changed, which decides between parallel requests."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, Update

from app.core.database import Session


async def affected_rows(
    session: Session, statement: Update | Delete, parameters: Mapping[str, Any] | None = None
) -> int:
    """Execute a statement in a transaction, and return the number of rows that it matched."""
    result = await session.execute(statement, parameters)
    return cast(CursorResult[Any], result).rowcount
