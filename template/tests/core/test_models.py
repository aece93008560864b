import enum
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import CheckConstraint, Column, Enum, Integer, MetaData, Table
from sqlalchemy.exc import InvalidRequestError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, configure_mappers
from sqlalchemy.schema import CreateTable

from app.core.database import Session, create_session_factory
from app.core.migrations import import_models
from app.core.models import Base, Entity

METADATA = MetaData(naming_convention=Entity.metadata.naming_convention)


class Colour(enum.Enum):
    RED = "red"
    LIGHT_BLUE = "light-blue"


class Portable(Entity):
    __abstract__ = True
    # Separate from the application's models, which the migrations are compared with.
    metadata = METADATA


class Sample(Portable):
    __tablename__ = "test__sample"

    colour: Mapped[Colour]
    happened_at: Mapped[datetime]
    text: Mapped[str]


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[Session]:
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    async with create_session_factory(engine)() as session:
        yield session
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)


def sample(happened_at: datetime) -> Sample:
    return Sample(colour=Colour.LIGHT_BLUE, happened_at=happened_at, text="Größe 😀")


async def test_values_of_every_type_are_read_back_unchanged(session: Session) -> None:
    happened_at = datetime(2026, 2, 28, 23, 59, 59, 999_999, timezone(timedelta(hours=-5)))
    session.add(stored := sample(happened_at))
    await session.commit()
    session.expunge_all()
    read = await session.get_one(Sample, stored.id)
    assert read is not stored
    assert read.happened_at == happened_at
    assert read.happened_at.tzinfo is UTC
    assert read.created_at == stored.created_at
    assert read.colour is Colour.LIGHT_BLUE
    assert read.text == "Größe 😀"


async def test_datetime_without_time_zone_is_rejected(session: Session) -> None:
    session.add(sample(datetime(2026, 2, 28)))  # noqa: DTZ001
    with pytest.raises(StatementError, match="has no time zone"):
        await session.flush()


async def test_keys_are_ordered_by_creation(session: Session) -> None:
    samples = [sample(datetime.now(UTC)) for _ in range(100)]
    for one in samples:
        session.add(one)
        await session.flush()
    keys = [one.id for one in samples]
    assert keys == sorted(keys)
    assert {key.version for key in keys} == {7}


def test_index_names_are_unique() -> None:
    import_models()
    tables = Base.metadata.tables.values()
    names = Counter((table.schema, index.name) for table in tables for index in table.indexes)
    duplicates = [name for (_, name), count in names.items() if count > 1]
    assert not duplicates, f"duplicate index names; keep index=True or the Index: {duplicates}"


def test_no_relationship_is_loaded_lazily() -> None:
    import_models()
    configure_mappers()
    lazy = [
        str(relationship)
        for mapper in Base.registry.mappers
        if mapper.class_.__module__.startswith("app.")
        for relationship in mapper.relationships
        if relationship.lazy in {"select", True}
    ]
    assert not lazy, f'asyncio cannot load on attribute access; add lazy="raise" to {lazy}'


def test_check_constraints_of_types_are_named_after_their_column() -> None:
    sizes = Enum("S", "L", native_enum=False, create_constraint=True)
    metadata = MetaData(naming_convention=METADATA.naming_convention)
    table = Table("test__shirt", metadata, Column("size", sizes))
    assert "CONSTRAINT ck_test__shirt_size CHECK" in str(CreateTable(table))


def test_an_unnamed_check_constraint_is_rejected_with_the_name_of_its_table() -> None:
    metadata = MetaData(naming_convention=METADATA.naming_convention)
    with pytest.raises(InvalidRequestError, match="Table test__price: a CHECK constraint has no"):
        Table("test__price", metadata, Column("price", Integer), CheckConstraint("price > 0"))
