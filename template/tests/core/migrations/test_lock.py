import re
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.migrations import (
    alembic_config,
    migrating,
)
from app.core.migrations.dialect import MigrationSession
from app.core.settings import MigrationSettings
from tests.core.migrations.conftest import Revisions


@pytest.mark.usefixtures("short_timeouts")
async def test_an_upgrade_fails_while_another_process_holds_the_lock(
    revisions: Revisions, other: AsyncConnection
) -> None:
    revisions.add("a")
    holder = await other.run_sync(lambda c: MigrationSession(c, MigrationSettings()))
    assert await other.run_sync(lambda _: holder.try_lock())
    with pytest.raises(
        CommandError, match=r"is migrating .* not finished within 0 s \(MIGRATION_WAIT"
    ):
        await revisions.run(command.upgrade, "head")
    assert await revisions.tables() == set()
    # A read-only command takes no lock, not even on SQLite during a write of another connection.
    await other.execute(text("CREATE TABLE test__other (id INTEGER)"))
    await revisions.run(command.current)
    await other.rollback()
    await other.run_sync(lambda _: holder.release())
    await revisions.run(command.upgrade, "head")
    assert "test__created_by_a" in await revisions.tables()


async def test_a_lost_connection_releases_the_lock(
    revisions: Revisions, other: AsyncConnection
) -> None:
    revisions.add("a")

    def lock_and_disconnect(connection: sa.Connection) -> None:
        session = MigrationSession(connection, MigrationSettings())
        assert session.try_lock()
        connection.invalidate()

    await other.run_sync(lock_and_disconnect)
    # The server may notice late, which the default MIGRATION_WAIT_TIMEOUT allows for.
    await revisions.run(command.upgrade, "head")


@pytest.mark.usefixtures("short_timeouts")
async def test_a_locked_table_fails_the_upgrade_after_the_lock_timeout(
    revisions: Revisions, other: AsyncConnection
) -> None:
    revisions.add("a")
    await revisions.run(command.upgrade, "head")
    revisions.add(
        "b", and_then='op.add_column("test__created_by_a", sa.Column("more", sa.Integer))'
    )
    await other.execute(text("INSERT INTO test__created_by_a VALUES (1)"))
    with pytest.raises(CommandError, match=r"longer than MIGRATION_LOCK_TIMEOUT \(1 s\)"):
        await revisions.run(command.upgrade, "head")
    await other.rollback()
    # MariaDB and MySQL have committed the table that b created before it failed.
    await revisions.connection.execute(text("DROP TABLE IF EXISTS test__created_by_b"))
    await revisions.connection.commit()
    await revisions.run(command.upgrade, "head")
    assert await revisions.tables() == {"test__created_by_a", "test__created_by_b"}


TIMEOUT_STATEMENTS = {
    "postgresql": ("SHOW lock_timeout", "SET lock_timeout = '{}s'"),
    "mysql": ("SELECT @@lock_wait_timeout", "SET SESSION lock_wait_timeout = {}"),
    "sqlite": ("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}"),
}


async def test_timeouts_are_reset_for_each_revision_and_restored_at_the_end(
    revisions: Revisions,
) -> None:
    show, change = TIMEOUT_STATEMENTS[revisions.connection.dialect.name]
    await revisions.connection.execute(text(change.format(77)))
    await revisions.connection.commit()
    original = await current_timeout(revisions.connection)
    revisions.add("a", and_then=f"op.execute({change.format(99)!r})")
    shown = f"str(op.get_bind().execute(sa.text({show!r})).scalar())"
    revisions.add("b", and_then=f"op.get_context().config.attributes['shown'] = {shown}")
    seen = await revisions.run(upgrade_and_show)
    assert int(re.sub(r"\D", "", seen)) in (5, 5000)
    assert await current_timeout(revisions.connection) == original


def upgrade_and_show(config: Config) -> str:
    command.upgrade(config, "head")
    return str(config.attributes["shown"])


async def current_timeout(connection: AsyncConnection) -> Any:
    value = await connection.scalar(text(TIMEOUT_STATEMENTS[connection.dialect.name][0]))
    await connection.rollback()
    return value


async def test_a_read_only_command_leaves_no_open_transaction(
    connection: AsyncConnection,
) -> None:
    """The next command would join the transaction, and never be committed."""
    show = text(TIMEOUT_STATEMENTS[connection.dialect.name][0])

    def read(connection: sa.Connection) -> None:
        before = connection.scalar(show)
        connection.rollback()
        with migrating(MigrationContext.configure(connection), connection):
            assert connection.scalar(show) == before
        assert not connection.in_transaction()
        command.current(alembic_config(connection))
        assert not connection.in_transaction()

    await connection.run_sync(read)
