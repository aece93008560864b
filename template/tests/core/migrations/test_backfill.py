from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_only

from app.core.migrations import batches
from app.core.migrations.backfill import backfill
from app.core.migrations.batches import Batches
from tests.core.migrations.conftest import Revisions

ROWS = 25
TABLE = "test__backfill"
# `updates` shows a row that was updated twice.
VALUES: dict[str, Any] = {"copy": sa.column("name"), "updates": sa.column("updates") + 1}
DONE = [(f"n{number}", 1) for number in range(ROWS)]
KEYS = {"single": ["number"], "composite": ["region", "number"]}

# In a revision.
CALL = """
    from app.core.migrations.backfill import backfill
    values = {"copy": sa.column("name"), "updates": sa.column("updates") + 1}
    options = {"where": sa.column("copy").is_(None), "batch_size": 4, "pause": 0}
    backfill(op.get_context(), "test__backfill", values, **options)
"""


async def create_table(connection: AsyncConnection, *key: str) -> None:
    table = sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("region", sa.String(9)),
        sa.Column("number", sa.Integer, unique=key != ("number",), autoincrement=False),
        sa.Column("name", sa.String(9)),
        sa.Column("copy", sa.String(9)),
        sa.Column("updates", sa.Integer),
        *([sa.PrimaryKeyConstraint(*key)] if key else []),
        sa.CheckConstraint("copy <> 'bad'", name="ck_copy"),
    )
    rows = [
        {"region": "abc"[number % 3], "number": number, "name": f"n{number}", "updates": 0}
        for number in range(ROWS)
    ]
    await connection.run_sync(table.create)
    await connection.execute(sa.insert(table), rows)
    await connection.commit()


async def change(connection: AsyncConnection, statement: str) -> None:
    await connection.execute(text(statement))
    await connection.commit()


async def read(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    table = sa.table(TABLE, sa.column("copy"), sa.column("updates"))
    statement = sa.select(table).order_by(sa.column("number"))
    found = [tuple(row) for row in await connection.execute(statement)]
    await connection.rollback()
    return found


async def run(connection: AsyncConnection, values: Any = VALUES) -> int:
    where = sa.column("copy").is_(None)
    return await connection.run_sync(
        lambda c: backfill(c, TABLE, values, where=where, batch_size=4, pause=0)
    )


def fail_once(number: int) -> Callable[[sa.RowMapping], dict[str, Any]]:
    """Return a function that computes new values, and fails the first time for one row."""
    failures = [ZeroDivisionError]

    def compute(row: sa.RowMapping) -> dict[str, Any]:
        if row["number"] == number and failures:
            raise failures.pop()
        return {"copy": row["name"], "updates": row["updates"] + 1}

    return compute


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_every_row_is_updated_once(connection: AsyncConnection, key: list[str]) -> None:
    await create_table(connection, *key)
    assert await run(connection) == ROWS
    assert await read(connection) == DONE
    assert await run(connection) == 0


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_a_run_that_failed_is_continued(connection: AsyncConnection, key: list[str]) -> None:
    await create_table(connection, *key)
    compute = fail_once(ROWS - 1)
    with pytest.raises(ZeroDivisionError):
        await run(connection, compute)
    done = sum(copy is not None for copy, _ in await read(connection))
    # The batches before the failed one are committed.
    assert 0 < done < ROWS
    assert done % 4 == 0
    assert await run(connection, compute) == ROWS - done
    assert await read(connection) == DONE


async def test_rows_that_are_inserted_meanwhile_are_updated(
    connection: AsyncConnection, other: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_table(connection, "number")
    inserts = [f"INSERT INTO {TABLE} VALUES ('a', -1, 'n', NULL, 0)"]  # noqa: S608

    def sleep(_seconds: float) -> None:
        if inserts:
            await_only(change(other, inserts.pop()))

    monkeypatch.setattr(batches, "sleep", sleep)
    assert await run(connection) == ROWS + 1
    assert await read(connection) == [("n", 1), *DONE]


async def test_a_row_that_was_changed_meanwhile_is_kept(
    connection: AsyncConnection, other: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_table(connection, "number")
    update = f"UPDATE {TABLE} SET copy = 'kept' WHERE number IN (1, 20)"  # noqa: S608
    original = Batches._update_with_retries

    def update_rows(job: Batches, keys: Any) -> int:
        await_only(change(other, update))
        return original(job, keys)

    monkeypatch.setattr(Batches, "_update_with_retries", update_rows)
    assert await run(connection) == ROWS - 2
    found = await read(connection)
    assert [found[1], found[20]] == [("kept", 0)] * 2


@pytest.mark.usefixtures("short_timeouts")
async def test_a_batch_waits_for_a_locked_row(
    revisions: Revisions, other: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions.add("a")
    await revisions.run(command.upgrade, "head")
    await create_table(revisions.connection, "number")
    revisions.add("b", and_then=CALL.replace('"pause": 0', '"pause": 7'))
    # The row is locked after the first batch, so that the revision itself need not wait.
    sleeps = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 1:
            await_only(other.execute(text(f"UPDATE {TABLE} SET name = 'new' WHERE number = 6")))  # noqa: S608
        else:
            await_only(other.commit())

    monkeypatch.setattr(batches, "sleep", sleep)
    await revisions.run(command.upgrade, "head")
    assert sleeps[:2] == [7, batches.SECONDS_BETWEEN_ATTEMPTS]
    assert await read(revisions.connection) == [*DONE[:6], ("new", 1), *DONE[7:]]


async def test_a_batch_is_tried_five_times(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_table(connection, "number")
    sleeps: list[float] = []
    monkeypatch.setattr(batches, "sleep", sleeps.append)
    monkeypatch.setattr(batches, "is_temporary", lambda _: True)
    with pytest.raises(DBAPIError):
        await run(connection, {"copy": text("missing")})
    assert sleeps == [0.5, 1, 1.5, 2]


async def test_progress_is_logged(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await create_table(connection, "number")
    monkeypatch.setattr(batches, "SECONDS_BETWEEN_REPORTS", 0)
    caplog.set_level("INFO")
    await run(connection)
    assert f"{TABLE}: 4 of about {ROWS} rows" in caplog.text


async def test_a_revision_that_failed_is_continued(revisions: Revisions) -> None:
    await create_table(revisions.connection, "number")
    update = f"UPDATE {TABLE} SET name = 'n22' WHERE number = 22"  # noqa: S608
    await change(revisions.connection, update.replace("n22", "bad"))
    revisions.add("a", create="pass", and_then=CALL)
    with pytest.raises(CommandError, match="upgrade  -> a, create a: failed"):
        await revisions.run(command.upgrade, "head")
    assert await read(revisions.connection) == [*DONE[:20], *[(None, 0)] * 5]
    await change(revisions.connection, update)
    await revisions.run(command.upgrade, "head")
    assert await read(revisions.connection) == DONE


async def test_foreign_keys_are_enforced(revisions: Revisions) -> None:
    await create_table(revisions.connection, "number")
    columns = f"id INTEGER PRIMARY KEY, copy INTEGER, FOREIGN KEY (copy) REFERENCES {TABLE}(number)"
    await change(revisions.connection, f"CREATE TABLE test__child ({columns})")
    await change(revisions.connection, "INSERT INTO test__child VALUES (1, NULL)")
    call = CALL.replace('"test__backfill", values', "'test__child', {'copy': 99}")
    revisions.add("a", create="pass", and_then=call)
    with pytest.raises(CommandError, match=r"(?i)foreign key"):
        await revisions.run(command.upgrade, "head")


@pytest.mark.parametrize(
    ("values", "number"),
    [({"updates": 1}, 25), ({"copy": sa.case((sa.column("number") < 20, "x"))}, 5)],
)
async def test_a_condition_that_stays_true_is_an_error(
    connection: AsyncConnection, values: dict[str, Any], number: int
) -> None:
    await create_table(connection, "number")
    with pytest.raises(CommandError, match=f"{number} rows of {TABLE} still match"):
        await run(connection, values)


async def test_a_key_has_the_type_of_the_given_table(connection: AsyncConnection) -> None:
    key = sa.Column("id", sa.Uuid(native_uuid=False), primary_key=True)
    table = sa.Table("test__key", sa.MetaData(), key, sa.Column("copy", sa.String(9)))
    await connection.run_sync(table.create)
    await connection.execute(sa.insert(table), [{"id": UUID(int=1)}])
    await connection.commit()
    columns = sa.table("test__key", sa.column("id", key.type), sa.column("copy"))
    done = await connection.run_sync(
        lambda c: backfill(c, columns, lambda _: {"copy": "x"}, where=columns.c.copy.is_(None))
    )
    assert done == 1


async def test_a_missing_table_is_named(revisions: Revisions) -> None:
    revisions.add("a", and_then=CALL)
    with pytest.raises(NoSuchTableError, match=TABLE):
        await revisions.run(command.upgrade, "head")


async def test_a_table_needs_a_primary_key(connection: AsyncConnection) -> None:
    await create_table(connection)
    with pytest.raises(CommandError, match="has no primary key"):
        await run(connection)


async def test_an_open_transaction_is_an_error(connection: AsyncConnection) -> None:
    await create_table(connection, "number")
    await connection.begin()
    with pytest.raises(CommandError, match="open transaction"):
        await run(connection)
