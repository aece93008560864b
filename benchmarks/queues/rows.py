"""The row that a job writes: as an entity of the project by a session, and as SQL by asyncpg."""

import os

import asyncpg
from app.core.database import SessionFactory, create_engine, create_session_factory
from app.core.models import utc_now
from app.core.settings import get_settings
from app.modules.item.models import Item
from uuid_utils.compat import uuid7

DATABASE_URL = os.environ["DATABASE_URL"]
# As many connections as the project's pool has by default.
POOL_SIZE = 10
INSERT = """
INSERT INTO item (id, name, description, version, created_at, updated_at)
VALUES ($1, $2, $3, 1, $4, $4)
"""


def entity(number: int) -> Item:
    return Item(name=f"Item {number}", description="Written by a job")


def values(number: int) -> tuple[object, ...]:
    return (uuid7(), f"Item {number}", "Written by a job", utc_now())


def session_factory() -> SessionFactory:
    return create_session_factory(create_engine(get_settings().database))


async def connection_pool() -> asyncpg.Pool:
    return await asyncpg.create_pool(DATABASE_URL, min_size=POOL_SIZE, max_size=POOL_SIZE)
