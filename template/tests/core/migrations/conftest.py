from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import dialect
from app.core.migrations import alembic_config
from app.core.settings import get_migration_settings

REVISION = """'''create {number}'''
import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {previous!r}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    op.drop_table("test__created_by_{number}")
"""
CREATE = 'op.create_table("test__created_by_{number}", sa.Column("value", sa.Integer))'


class Revisions:
    """Revisions in a folder of the test, applied on its connection."""

    def __init__(self, folder: Path, connection: AsyncConnection) -> None:
        self.folder = folder
        self.connection = connection
        self.last: str | None = None

    def add(self, number: str, and_then: str = "pass") -> None:
        code = f"{CREATE.format(number=number)}\n    {and_then}"
        values = {"number": number, "previous": self.last, "upgrade": code}
        (self.folder / f"{number}.py").write_text(REVISION.format(**values), "utf-8")
        self.last = number

    async def run(self, run: Any, *arguments: Any, **options: str) -> Any:
        def in_greenlet(connection: sa.Connection) -> Any:
            config = alembic_config(connection)
            config.set_main_option("version_locations", str(self.folder))
            for name, value in options.items():
                config.set_main_option(name, value)
            return run(config, *arguments)

        return await self.connection.run_sync(in_greenlet)

    async def tables(self) -> set[str]:
        found = await self.connection.run_sync(lambda c: sa.inspect(c).get_table_names())
        await self.connection.rollback()
        return set(found) - {"alembic_version"}


@pytest.fixture
def revisions(tmp_path: Path, connection: AsyncConnection) -> Revisions:
    folder = tmp_path / "with a space"
    folder.mkdir()
    return Revisions(folder, connection)


@pytest.fixture
async def other(empty_database: URL) -> AsyncIterator[AsyncConnection]:
    """A second connection to the same database."""
    engine = dialect.create_engine(empty_database)
    async with engine.connect() as other:
        yield other
    await engine.dispose()


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do not wait for another migration, and wait one second for a locked table."""
    monkeypatch.setenv("MIGRATION_WAIT_TIMEOUT", "0")
    monkeypatch.setenv("MIGRATION_LOCK_TIMEOUT", "1")
    get_migration_settings.cache_clear()
    yield
    get_migration_settings.cache_clear()
