import re
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.migrations.comments import Comment
from app.core.migrations.renames import comment_renames


def metadata(
    columns: dict[str, sa.types.TypeEngine[Any]], name: str = "test__renames"
) -> sa.MetaData:
    metadata = sa.MetaData()
    key = sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
    sa.Table(name, metadata, key, *(sa.Column(each, kind) for each, kind in columns.items()))
    return metadata


def comments(connection: sa.Connection, changed: sa.MetaData) -> list[str]:
    """Return the comments in the revision that makes the database equal to a changed model."""
    prefixes = {"alembic_module_prefix": "op.", "sqlalchemy_module_prefix": "sa."}
    options = {**prefixes, "user_module_prefix": None}
    context = MigrationContext.configure(connection, opts=options)
    script = produce_migrations(context, changed)
    [operations] = script.upgrade_ops_list
    differences = operations.as_diffs()
    comment_renames(AutogenContext(context), script)
    # `alembic check` reports no comment.
    assert len(operations.as_diffs()) == len(differences)
    return [str(op) for op in operations.ops if isinstance(op, Comment)]


async def test_columns_of_one_type_are_paired_in_their_order(connection: AsyncConnection) -> None:
    text, number = sa.String(10), sa.Integer()
    before = metadata({"a": text, "b": number, "c": text, "d": text, "e": text})
    await connection.run_sync(lambda c: before.create_all(c))
    after = metadata({"a": text, "w": text, "x": text, "y": number, "z": text})
    found = " ".join(await connection.run_sync(comments, after))
    pairs = re.findall(r"__renames\.(\w) is dropped and test__renames\.(\w), of the same", found)
    assert pairs == [("b", "y"), ("c", "w"), ("d", "x"), ("e", "z")]


@pytest.mark.parametrize(
    "after",
    [
        metadata({"old": sa.String(10)}),
        metadata({"old": sa.String(10), "new": sa.String(10)}),
        metadata({"new": sa.String(20)}),
        metadata({"new": sa.Integer()}),
        metadata({"new": sa.types.NullType()}),
        metadata({}),
        metadata({"other": sa.String(10)}, "test__others"),
        metadata({"old": sa.Integer()}, "test__others"),
    ],
    ids=[
        "same",
        "added",
        "length",
        "type",
        "unknown type",
        "dropped",
        "other column",
        "other type",
    ],
)
async def test_no_rename_is_suggested(connection: AsyncConnection, after: sa.MetaData) -> None:
    await connection.run_sync(lambda c: metadata({"old": sa.String(10)}).create_all(c))
    assert await connection.run_sync(comments, after) == []


async def test_a_table_with_the_same_columns_may_be_renamed(connection: AsyncConnection) -> None:
    columns: dict[str, Any] = {"name": sa.String(10), "size": sa.Integer()}
    await connection.run_sync(lambda c: metadata(columns).create_all(c))
    [comment] = await connection.run_sync(comments, metadata(columns, "test__renamed"))
    assert comment.endswith(': op.rename_table("test__renames", "test__renamed")')


def test_no_line_of_a_comment_is_too_long() -> None:
    names = ("a" * 60, "b" * 60, "c" * 60)
    code = [f'op.alter_column("{names[0]}", "{names[1]}",', f'new_column_name="{names[2]}")']
    comment = Comment(f"{names[0]}.{names[1]} is dropped: its values are lost.", code)
    assert comment.lines == [
        f"{names[0]}.{names[1]}",
        "is dropped: its values are lost.",
        f'op.alter_column("{names[0]}",',
        f'    "{names[1]}",',
        f'    new_column_name="{names[2]}")',
    ]
