"""Models are stored in temporary tables only if they have to be, all at once."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.migrations import dialect
from tests.core.migrations.conftest import find_differences


def models(*checks: str, limit: int = 100) -> sa.MetaData:
    """Return three tables: with a default and CHECK constraints, with one, and with neither."""
    metadata = sa.MetaData()
    name = sa.Column("name", sa.String(9), server_default="it's")
    computed = sa.Column("length", sa.Integer, sa.Computed("length(name)*2", persisted=True))
    named = [sa.CheckConstraint(text, name=f"test_{n}") for n, text in enumerate(checks)]
    sa.Table("test__name", metadata, name, computed, *named)
    check = sa.CheckConstraint(f"size<{limit} OR size IS NULL", name="test_size")
    sa.Table("test__size", metadata, sa.Column("size", sa.Integer), check)
    sa.Table("test__plain", metadata, sa.Column("id", sa.Integer, primary_key=True))
    return metadata


def compare(connection: sa.Connection, metadata: sa.MetaData) -> tuple[list[Any], list[str]]:
    """Return the differences, and the statements that found them."""
    statements: list[str] = []

    def record(_: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement.strip())

    event.listen(connection, "before_cursor_execute", record)
    found = find_differences(connection, metadata)
    event.remove(connection, "before_cursor_execute", record)
    return found, [sql for sql in statements if sql.startswith("CREATE TEMPORARY TABLE")]


async def test_models_are_stored_once_if_they_are_rewritten(connection: AsyncConnection) -> None:
    await connection.run_sync(models().create_all)
    found, created = await connection.run_sync(compare, models())
    assert found == []
    assert len(created) == len(models().tables)
    plain = sa.MetaData()
    models().tables["test__plain"].to_metadata(plain)
    assert (await connection.run_sync(compare, plain))[1] == []


async def test_a_missing_privilege_is_an_error_and_no_rejected_model(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.run_sync(models("name <> ''").create_all)
    monkeypatch.setattr(dialect, "is_permission_denied", lambda _: True)
    with pytest.raises(DBAPIError, match="missing_function"):
        await connection.run_sync(compare, models("missing_function(name)"))


async def test_a_rejected_model_does_not_affect_others(connection: AsyncConnection) -> None:
    await connection.run_sync(models().create_all)
    changed = models("missing_function(name)", limit=99)
    found, _ = await connection.run_sync(compare, changed)
    names = [(kind, constraint.name) for kind, constraint in found]
    sizes = [("remove_constraint", "test_size"), ("add_constraint", "test_size")]
    assert names == [("add_constraint", "test_0"), *sizes]
