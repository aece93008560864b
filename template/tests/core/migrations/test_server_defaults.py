from collections.abc import Collection, Iterable
from enum import Enum
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.core import dialect
from app.core.migrations import context_options
from app.core.settings import PROJECT_ROOT


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Token(FunctionElement[str]):
    """A default that each database writes in its own way."""

    inherit_cache = True


@compiles(Token)
def _token(_element: Token, compiler: Any, **_: Any) -> str:
    return {
        "postgresql": "md5(random()::text)",
        "mysql": "(upper(uuid()))",
        "mariadb": "(upper(uuid()))",
        "sqlite": "(lower(hex(randomblob(4))) || '-' || hex(randomblob(2)))",
    }[compiler.dialect.name]


COLOR = sa.Enum(Color, native_enum=False, length=40)
# A type, a default that the server stores in its own spelling, and a different default.
DEFAULTS: dict[str, tuple[sa.types.TypeEngine[Any], Any, Any]] = {
    "boolean": (sa.Boolean(), sa.true(), sa.false()),
    "amount": (sa.Integer(), "0", text("1")),
    "real": (sa.Double(), "1.50", "1.51"),
    "decimal": (sa.Numeric(10, 2), "0", "0.01"),
    "string": (sa.String(20), "it's", "its"),
    "empty": (sa.String(20), "", "x"),
    "timestamp": (sa.DateTime(), func.now(), None),
    "date": (sa.Date(), "2026-01-01", "2026-01-02"),
    "enum": (COLOR, "RED", "BLUE"),
    "json": (sa.JSON(), text("('{}')"), text("('[]')")),
    "token": (sa.String(40), Token(), "token"),
    "uuid": (dialect.UUID, f"{1:032x}", f"{2:032x}"),
    "missing": (sa.Integer(), None, "0"),
}


OTHER_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "amount": sa.BigInteger(),
    "decimal": sa.Numeric(12, 2),
    "string": sa.String(30),
    "date": sa.DateTime(),
    "enum": sa.String(50),
    "uuid": sa.String(40),
}


def columns(*, defaults: Collection[str] = (), types: Collection[str] = ()) -> sa.MetaData:
    """Return the table of DEFAULTS, with other defaults or types for the named columns."""
    metadata = sa.MetaData()
    table = sa.Table(
        "test__columns",
        metadata,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("computed", sa.Integer, sa.Computed("amount * 2", persisted=True)),
    )
    for name, (column_type, first, second) in DEFAULTS.items():
        chosen = OTHER_TYPES[name] if name in types else column_type
        server_default = second if name in defaults else first
        table.append_column(sa.Column(name, chosen, server_default=server_default))
    return metadata


def differences(connection: sa.Connection, metadata: sa.MetaData) -> list[tuple[str, str]]:
    known = context_options(Config(PROJECT_ROOT / "alembic.ini"))
    names = ("compare_type", "compare_server_default", "autogenerate_plugins")
    context = MigrationContext.configure(connection, opts={name: known[name] for name in names})
    found: Any = compare_metadata(context, metadata)
    return [(difference[0], difference[3]) for changes in found for difference in changes]


@pytest.mark.usefixtures("engine")
async def test_only_changed_server_defaults_are_detected(connection: AsyncConnection) -> None:
    await connection.run_sync(lambda c: columns().create_all(c))
    assert await connection.run_sync(differences, columns()) == []
    for names in halves(DEFAULTS):
        found = await connection.run_sync(differences, columns(defaults=names))
        assert found == [("modify_default", name) for name in names]


async def test_parentheses_around_a_server_default_are_ignored(connection: AsyncConnection) -> None:
    def metadata(default: str) -> sa.MetaData:
        found = sa.MetaData()
        sa.Table("test__name", found, sa.Column("name", sa.String(9), server_default=text(default)))
        return found

    await connection.run_sync(metadata("(\n (\n  lower('A')\n )\n)").create_all)
    assert await connection.run_sync(differences, metadata("(\n lower('A')\n)")) == []


async def test_only_changed_types_are_detected(connection: AsyncConnection) -> None:
    await connection.run_sync(lambda c: columns().create_all(c))
    for names in halves(OTHER_TYPES):
        found = await connection.run_sync(differences, columns(types=names))
        assert {("modify_type", name) for name in names} <= set(found)
        assert {column for _, column in found} == set(names)


def halves(columns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return every other column, and the rest: each is once changed and once unchanged."""
    names = list(columns)
    return names[::2], names[1::2]
