"""A read by aiosqlite itself."""

from typing import Any


async def fetch_row(connection: Any, sql: str, parameter: str) -> Any:
    """Return the first row of a SELECT or None, without a transaction."""
    async with connection.execute(sql, (parameter,)) as cursor:
        return await cursor.fetchone()
