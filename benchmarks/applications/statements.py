"""SQL statements and the connection pool of the applications without SQLAlchemy."""

import os

import asyncpg

COLUMNS = "id, name, description, version, created_at, updated_at"
GET = f"SELECT {COLUMNS} FROM item WHERE id = $1"
PAGE = f"SELECT {COLUMNS} FROM item ORDER BY id LIMIT $1"
PAGE_AFTER = f"SELECT {COLUMNS} FROM item WHERE id > $2 ORDER BY id LIMIT $1"
CREATE = f"INSERT INTO item ({COLUMNS}) VALUES ($1, $2, $3, 1, $4, $4) RETURNING {COLUMNS}"
CHANGE = f"""UPDATE item SET name = $2, version = version + 1, updated_at = $3 WHERE id = $1
RETURNING {COLUMNS}"""


async def create_pool() -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10)
