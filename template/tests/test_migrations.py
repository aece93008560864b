import os
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import dialect
from app.core.migrations import alembic_config
from app.core.models import Base
from app.core.settings import PROJECT_ROOT
from tests.database_server import new_database


@pytest.fixture
async def connection(server_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection to an empty database."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "tests")
    async with new_database(server_url, f"{worker}_migrations") as url:
        engine = dialect.create_engine(dialect.parse_url(url))
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()


async def alembic(connection: AsyncConnection, run: Callable[..., Any], *arguments: str) -> None:
    await connection.run_sync(lambda c: run(alembic_config(c), *arguments))


def tables(connection: Connection) -> set[str]:
    names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    connection.rollback()
    return names


async def test_the_models_are_what_the_migrations_make(connection: AsyncConnection) -> None:
    await alembic(connection, command.upgrade, "head")
    await alembic(connection, command.check)


async def test_every_revision_goes_up_down_and_up(connection: AsyncConnection) -> None:
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    for script in reversed(list(scripts.walk_revisions())):
        await alembic(connection, command.upgrade, script.revision)
        await alembic(connection, command.downgrade, "-1")
        await alembic(connection, command.upgrade, script.revision)
    assert await connection.run_sync(tables) == set(Base.metadata.tables)
    await alembic(connection, command.downgrade, "base")
    assert await connection.run_sync(tables) == set()


def test_there_is_one_head() -> None:
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    assert len(scripts.get_heads()) == 1, "two revisions follow the same one: alembic merge heads"


def test_the_environment_imports_every_modules_models() -> None:
    environment = (PROJECT_ROOT / "alembic" / "env.py").read_text(encoding="utf-8")
    imported = set(re.findall(r"(?m)^from app\.modules\.(\w+) import models", environment))
    there = {path.parent.name for path in (PROJECT_ROOT / "app" / "modules").glob("*/models.py")}
    missing = [
        f"from app.modules.{name} import models as {name}_models  # noqa: F401"
        for name in sorted(there - imported)
    ]
    assert not missing, f"add to alembic/env.py: {missing}"
