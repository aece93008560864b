from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.migrations import context_options
from app.core.settings import PROJECT_ROOT


def metadata(*key: str, name: str = "test__pk", **options: Any) -> sa.MetaData:
    """Return a table with a primary key of these columns."""
    metadata = sa.MetaData()
    columns = (sa.Column(each, sa.Integer, nullable=False, autoincrement=False) for each in "abc")
    constraints = [sa.PrimaryKeyConstraint(*key, name=name, **options)] if key else []
    sa.Table("test__keys", metadata, *columns, *constraints)
    return metadata


def differences(connection: sa.Connection, metadata: sa.MetaData) -> list[tuple[str, list[str]]]:
    """Return the kind and the columns of each difference."""
    plugins = context_options(Config(PROJECT_ROOT / "alembic.ini"))["autogenerate_plugins"]
    context = MigrationContext.configure(connection, opts={"autogenerate_plugins": plugins})
    found: Any = compare_metadata(context, metadata)
    return [(kind, list(constraint.columns.keys())) for kind, constraint in found]


@pytest.mark.parametrize("key", [(), ("a",), ("a", "b"), ("b", "a")], ids=str)
async def test_an_unchanged_primary_key_is_no_difference(
    connection: AsyncConnection, key: tuple[str, ...]
) -> None:
    await connection.run_sync(lambda c: metadata(*key).create_all(c))
    assert await connection.run_sync(differences, metadata(*key)) == []


@pytest.mark.parametrize("options", [{"name": "test__other"}, {"deferrable": True}], ids=str)
async def test_the_name_and_deferrability_of_a_primary_key_are_not_compared(
    connection: AsyncConnection, options: dict[str, Any]
) -> None:
    await connection.run_sync(lambda c: metadata("a").create_all(c))
    assert await connection.run_sync(differences, metadata("a", **options)) == []


@pytest.mark.parametrize("key", [("b",), ("a",), ("a", "b", "c"), ("b", "a"), ()], ids=str)
async def test_a_primary_key_of_other_columns_is_a_difference(
    connection: AsyncConnection, key: tuple[str, ...]
) -> None:
    await connection.run_sync(lambda c: metadata("a", "b").create_all(c))
    created = [("add_constraint", list(key))] if key else []
    expected = [("remove_constraint", ["a", "b"]), *created]
    assert await connection.run_sync(differences, metadata(*key)) == expected
