from collections.abc import Collection
from enum import Enum
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import dialect
from app.core.migrations import context_options
from app.core.models import Base
from app.core.settings import PROJECT_ROOT

# In names, the quotation mark that this database does not use for names.
QUOTED = '"quoted"' if dialect.DIALECT.name == "mysql" else "`quoted`"
# An expression that the server stores in its own spelling, and a different one.
CHECKS = {
    "number": ("price > 0 AND price<=100", "price > 0 AND price <= 1000"),
    "text": ("name <> 'it''s 100%'", "name <> 'it''s 10%'"),
    "pattern": ("name LIKE 'a%' OR lower(name) = 'b:c'", "name LIKE 'b%'"),
    "list": ("kind in ('a','b')", "kind in ('a','b','c')"),
    "nulls": ("kind IS NULL or price is not null", "kind IS NULL"),
    "two": ("ends > starts", "ends >= starts"),
    QUOTED: ("price <> 7", "price <> 8"),
    "of_column": ("starts>'2020-01-01'", "starts > '2021-01-01'"),
}


class Color(Enum):
    RED = "red"
    BLUE = "blue"


def table(changed: Collection[str] = (), without: Collection[str] = (), **more: str) -> sa.Table:
    """Return a table with CHECKS, some of them changed, left out or added."""
    kinds = ["RED", "BLUE", *(["GREEN"] if "color" in changed else [])]
    checks = {name: pair[name in changed] for name, pair in CHECKS.items() if name not in without}
    # MariaDB and MySQL do not accept a named constraint of a column.
    of_column = []
    if dialect.DIALECT.name != "mysql":
        of_column.append(sa.CheckConstraint(checks.pop("of_column"), name="of_column"))
    found = sa.Table(
        "test__check",
        sa.MetaData(naming_convention=Base.metadata.naming_convention),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("name", sa.String(20), server_default="x"),
        sa.Column("kind", sa.String(5), unique=True),
        sa.Column("starts", sa.Date, *of_column),
        sa.Column("flag", sa.Boolean(create_constraint=True)),
        sa.Column("ends", sa.Date),
        sa.Column(
            "color",
            sa.Enum(*kinds, name="color", native_enum=False, create_constraint=True, length=9),
        ),
        *(sa.CheckConstraint(text, name=name) for name, text in (checks | more).items()),
    )
    found.append_constraint(sa.CheckConstraint(found.c.starts < found.c.ends, name="columns"))
    return found


def differences(connection: sa.Connection, model: sa.Table) -> list[tuple[str, str]]:
    plugins = context_options(Config(PROJECT_ROOT / "alembic.ini"))["autogenerate_plugins"]
    context = MigrationContext.configure(connection, opts={"autogenerate_plugins": plugins})
    found: list[Any] = compare_metadata(context, model.metadata)
    return [(kind, constraint.name.removeprefix("ck_test__check_")) for kind, constraint in found]


@pytest.fixture
async def created(connection: AsyncConnection) -> AsyncConnection:
    await connection.run_sync(lambda c: table().create(c))
    return connection


async def test_unchanged_check_constraints_are_equal(created: AsyncConnection) -> None:
    assert await created.run_sync(differences, table()) == []


@pytest.mark.parametrize("name", [*CHECKS, "color"])
async def test_a_changed_expression_is_detected(created: AsyncConnection, name: str) -> None:
    found = await created.run_sync(differences, table(changed=[name]))
    assert found == [("remove_constraint", name), ("add_constraint", name)]


async def test_an_added_and_a_removed_check_constraint_are_detected(
    created: AsyncConnection,
) -> None:
    found = await created.run_sync(differences, table(without=["list"], added="price <> 7"))
    assert found == [("add_constraint", "added"), ("remove_constraint", "list")]


async def test_an_expression_that_the_server_rejects_is_compared_by_name(
    created: AsyncConnection,
) -> None:
    """As it does one with a function that the new revision has yet to create."""
    found = await created.run_sync(differences, table(added="missing_function(price)"))
    assert found == [("add_constraint", "added")]
