"""What autogenerate finds on every database; see docs/migrations.md for what it does not."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKeyConstraint, Index, Numeric, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import SchemaItem
from sqlalchemy.sql.elements import conv

from tests.core.migrations.conftest import schema, wrong_results


def foreign_key(**options: Any) -> SchemaItem:
    return ForeignKeyConstraint(
        ["parent_id"], ["test__parent.id"], name="fk_test__child", **options
    )


# Longer than each database allows; a naming convention makes such names.
LONG = conv("ix_" + "of_a_long_table_" * 6)

# States of a table by what they differ in.
DIFFERENT: dict[str, list[SchemaItem | None]] = {
    "index": [None, Index("ix", "name"), Index("ix", "size", "name"), Index("ix", "name", "size")],
    "unique index": [None, Index("ix", "name"), Index("ix", "name", unique=True)],
    "index with a long name": [None, Index(LONG, "name"), Index(LONG, "name", unique=True)],
    "sorted index": [None, Index("ix", "size"), Index("ix", sa.desc("size"))],
    "unique constraint": [
        None,
        UniqueConstraint("name", name="uq"),
        UniqueConstraint("name", "size", name="uq"),
    ],
    "foreign key": [
        None,
        foreign_key(),
        foreign_key(ondelete="CASCADE"),
        foreign_key(ondelete="SET NULL"),
        foreign_key(onupdate="CASCADE"),
    ],
    "decimals": [Column("price", Numeric(10, 2)), Column("price", Numeric(12))],
    "fewer decimals": [Column("price", Numeric(10)), Column("price", Numeric(10, 2))],
}


async def test_differences_are_found(connection: AsyncConnection) -> None:
    cases = {
        name: [schema(*([] if item is None else [item])) for item in items]
        for name, items in DIFFERENT.items()
    }
    assert await wrong_results(connection, cases) == {}


class Encrypted(sa.types.TypeDecorator[bytes]):
    impl = sa.LargeBinary(255)
    cache_ok = True


# The server stores many of them under another name.
UNCHANGED: list[sa.types.TypeEngine[Any]] = [
    sa.Float(24),
    sa.Float(53),
    sa.Double(),
    sa.REAL(),
    sa.Numeric(),
    sa.Numeric(10),
    sa.Text(),
    sa.LargeBinary(255),
    sa.LargeBinary(70000),
    sa.CHAR(),
    sa.NCHAR(3),
    sa.SmallInteger(),
    sa.BigInteger(),
    sa.Boolean(),
    sa.Boolean(create_constraint=True, name="known"),
    sa.Enum("a", "b", native_enum=False, create_constraint=True, name="valid"),
    sa.TIMESTAMP(timezone=True),
    sa.Interval(),
    sa.JSON(),
    sa.Uuid(),
    sa.Uuid(native_uuid=False),
    sa.String(36).with_variant(UUID(as_uuid=True), "postgresql", "sqlite"),
    Encrypted(),
]


async def test_unchanged_types_and_indexes_are_not_found(connection: AsyncConnection) -> None:
    columns = [Column(f"value_{number}", kind) for number, kind in enumerate(UNCHANGED)]
    index = Index("ix", "name", sa.text("size DESC"))
    assert await wrong_results(connection, {"unchanged": [schema(*columns, index)]}) == {}
