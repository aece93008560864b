"""The SQL of the applications that have no SQLAlchemy, and their pool of connections."""

import os
from collections.abc import Sequence
from typing import Any

import asyncpg
from schemas import ItemCreate, utc_now
from uuid_utils.compat import uuid7

COLUMNS = "id, name, description, version, created_at, updated_at"
GET = f"SELECT {COLUMNS} FROM item WHERE id = $1"
PAGE = f"SELECT {COLUMNS} FROM item ORDER BY id LIMIT $1"
PAGE_AFTER = f"SELECT {COLUMNS} FROM item WHERE id > $2 ORDER BY id LIMIT $1"
CREATE = f"INSERT INTO item ({COLUMNS}) VALUES ($1, $2, $3, 1, $4, $4) RETURNING {COLUMNS}"
CREATE_MANY = f"""INSERT INTO item ({COLUMNS})
SELECT id, name, description, 1, $4, $4
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, name, description)
RETURNING {COLUMNS}"""
CHANGE = f"""UPDATE item SET name = $2, version = version + 1, updated_at = $3 WHERE id = $1
RETURNING {COLUMNS}"""


async def create_pool() -> "asyncpg.Pool[asyncpg.Record]":
    return await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10)


def columns_of(data: Sequence[ItemCreate]) -> tuple[Any, ...]:
    """Return the parameters of `CREATE_MANY`."""
    ids = [uuid7() for _ in data]
    return ids, [one.name for one in data], [one.description for one in data], utc_now()
