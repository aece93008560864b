from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import dialect
from app.core.migrations import alembic_config, context_options
from app.core.settings import PROJECT_ROOT, get_migration_settings

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

    def add(self, number: str, and_then: str = "pass", create: str = CREATE) -> None:
        code = f"{create.format(number=number)}\n    {and_then}"
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


def schema(*items: sa.schema.SchemaItem, **options: Any) -> sa.MetaData:
    """Return two tables; columns among the items replace those of the same name."""
    metadata = sa.MetaData()
    sa.Table("test__parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
    columns: dict[str, sa.Column[Any]] = {
        "id": sa.Column("id", sa.Integer, primary_key=True),
        "parent_id": sa.Column("parent_id", sa.Integer),
        "name": sa.Column("name", sa.String(30)),
        "size": sa.Column("size", sa.Integer),
        "price": sa.Column("price", sa.Integer),
    }
    columns |= {item.name: item for item in items if isinstance(item, sa.Column)}
    others = [item for item in items if not isinstance(item, sa.Column)]
    sa.Table("test__child", metadata, *columns.values(), *others, **options)
    return metadata


def find_differences(connection: sa.Connection, metadata: sa.MetaData) -> list[Any]:
    """Return what `alembic check` reports if these are the models."""
    known = context_options(Config(PROJECT_ROOT / "alembic.ini"))
    names = ("compare_type", "compare_server_default", "autogenerate_plugins")
    context = MigrationContext.configure(connection, opts={name: known[name] for name in names})
    return list(compare_metadata(context, metadata))


async def wrong_results(
    connection: AsyncConnection, cases: Mapping[str, Sequence[sa.MetaData]]
) -> dict[str, list[str]]:
    """Return, by case, which states are found different from themselves, or equal to the next.

    A change that is not found is `0 to 1: []`; a state that differs from itself is `0 to 0: […]`.
    """
    wrong: dict[str, list[str]] = {}
    for name, states in cases.items():
        for number, stored in enumerate(states):
            await connection.run_sync(stored.create_all)
            for other in {number, (number + 1) % len(states)}:
                found = await connection.run_sync(find_differences, states[other])
                if bool(found) != (other != number):
                    wrong.setdefault(name, []).append(f"{number} to {other}: {found}")
            await connection.run_sync(stored.drop_all)
            await connection.commit()
    return wrong


def unseen(cases: Mapping[str, Sequence[sa.MetaData]]) -> dict[str, list[str]]:
    """Return what `wrong_results` returns if no change is found in either direction."""
    return {name: ["0 to 1: []", "1 to 0: []"] for name in cases}
