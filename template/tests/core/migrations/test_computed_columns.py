from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.migrations import context_options
from app.core.settings import PROJECT_ROOT

# An expression that the server stores in its own spelling, and a different one.
EXPRESSIONS = {
    "number": ("size*2+1", "size * 2 + 2"),
    "text": ("CASE WHEN size > 1 THEN 'it''s' END", "CASE WHEN size > 1 THEN 'its' END"),
    "indexed": ("(size)", "size - 1"),
    "other": ("size*3", "size * 4"),
    "key": ("size+5", "size + 6"),
}


def table(*changed: str, without: str | None = None) -> sa.Table:
    """Return a table with EXPRESSIONS, some of them changed, and one not computed."""
    found = sa.Table("test__computed", sa.MetaData(), sa.Column("size", sa.Integer))
    for name, pair in EXPRESSIONS.items():
        kind = sa.String(9) if name == "text" else sa.Integer()
        computed = sa.Computed(pair[name in changed], persisted=True)
        arguments = [] if name == without else [computed]
        found.append_column(sa.Column(name, kind, *arguments))
    sa.Index("test__index", found.c.indexed, found.c.other)
    found.append_constraint(sa.UniqueConstraint("key", name="test__key"))
    return found


def differences(connection: sa.Connection, model: sa.Table) -> list[str]:
    known = context_options(Config(PROJECT_ROOT / "alembic.ini"))
    names = ("compare_type", "compare_server_default", "autogenerate_plugins")
    context = MigrationContext.configure(connection, opts={name: known[name] for name in names})
    found: list[Any] = compare_metadata(context, model.metadata)
    return [f"{kind} {getattr(item[-1], 'name', '')}" for kind, *item in found]


@pytest.fixture
async def created(connection: AsyncConnection) -> AsyncConnection:
    await connection.run_sync(lambda c: table().create(c))
    return connection


async def test_unchanged_computed_columns_are_equal(created: AsyncConnection) -> None:
    assert await created.run_sync(differences, table()) == []


@pytest.mark.parametrize("name", ["number", "text"])
async def test_a_changed_expression_replaces_the_column(
    created: AsyncConnection, name: str
) -> None:
    found = await created.run_sync(differences, table(name))
    assert found == [f"remove_column {name}", f"add_column {name}"]


async def test_an_index_of_replaced_columns_is_created_again(created: AsyncConnection) -> None:
    found = await created.run_sync(differences, table("indexed", "other"))
    names = ("indexed", "other")
    columns = [f"{kind}_column {name}" for name in names for kind in ("remove", "add")]
    assert found == ["remove_index test__index", *columns, "add_index test__index"]


async def test_a_changed_index_of_a_replaced_column_is_created_once(
    created: AsyncConnection,
) -> None:
    changed = table("indexed")
    [index] = changed.indexes
    changed.indexes.remove(index)
    sa.Index("test__index", changed.c.indexed, changed.c.size)
    found = await created.run_sync(differences, changed)
    columns = ["remove_column indexed", "add_column indexed"]
    assert found == ["remove_index test__index", *columns, "add_index test__index"]


async def test_a_unique_constraint_of_a_replaced_column_is_created_again(
    created: AsyncConnection,
) -> None:
    found = await created.run_sync(differences, table("key"))
    columns = ["remove_column key", "add_column key"]
    assert found == ["remove_constraint test__key", *columns, "add_constraint test__key"]


async def test_a_column_that_is_no_longer_computed_is_replaced(created: AsyncConnection) -> None:
    found = await created.run_sync(differences, table(without="number"))
    assert found == ["remove_column number", "add_column number"]
