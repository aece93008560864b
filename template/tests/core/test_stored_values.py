from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import (
    CHAR,
    JSON,
    Computed,
    DateTime,
    Dialect,
    Double,
    Float,
    ForeignKey,
    MetaData,
    Numeric,
    String,
    Time,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from app.core.database import (
    Session,
    SessionDep,
    SessionFactory,
    StoredRow,
    create_session_factory,
)
from app.core.models import Entity, Versioned
from app.core.optimistic_locking import set_etag
from app.core.repository import Repository
from app.core.schemas import ReadSchema, Rows
from tests.conftest import StatementLimit

METADATA = MetaData(naming_convention=Entity.metadata.naming_convention)


class Lower(TypeDecorator[str]):
    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value.lower()


class Stock(Versioned, Entity):
    __tablename__ = "test__stock"
    # Separate from the application's models, which the migrations are compared with.
    metadata = METADATA

    name: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric(12, 2))
    discount: Mapped[Decimal | None] = mapped_column(Numeric(5, 3))
    doubled: Mapped[Decimal | None] = mapped_column(
        Numeric(12, 2), Computed("price * 2", persisted=True)
    )
    ratio: Mapped[float | None] = mapped_column(Float)
    exact_ratio: Mapped[float | None] = mapped_column(Double)
    details: Mapped[dict[str, Any] | None] = mapped_column(
        MutableDict.as_mutable(JSON().with_variant(JSONB(), "postgresql"))
    )
    placed_at: Mapped[datetime | None]
    local_at: Mapped[datetime | None] = mapped_column(DateTime)
    opens_at: Mapped[time | None] = mapped_column(Time)
    day: Mapped[date | None]
    code: Mapped[str | None] = mapped_column(CHAR(5))
    kind: Mapped[str | None] = mapped_column(Lower)
    parts: Mapped[list["Piece"]] = relationship(lazy="raise")


class Piece(Entity):
    __tablename__ = "test__piece"
    metadata = METADATA

    price: Mapped[Decimal] = mapped_column(Numeric(12, 2), default=0, onupdate=1)
    name: Mapped[str | None]
    stock_id: Mapped[UUID] = mapped_column(ForeignKey(Stock.id))


class Stocks(Repository[Stock]):
    model = Stock


class StockData(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str | None = None
    price: Decimal | None = None
    discount: Decimal | None = None
    ratio: float | None = None
    exact_ratio: float | None = None
    details: dict[str, Any] | None = None
    placed_at: datetime | None = None
    local_at: datetime | None = None
    opens_at: time | None = None
    day: date | None = None
    code: str | None = None
    kind: str | None = None


class StockRead(ReadSchema, StockData):
    doubled: Decimal | None
    version: int


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield create_session_factory(engine)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)


@pytest.fixture
def stocks(app: FastAPI, session_factory: SessionFactory) -> str:
    """The path of a resource to create, update and read."""
    app.state.session_factory = session_factory

    @app.post("/stocks", response_model=StockRead)
    async def create(session: SessionDep, data: StockData, response: Response) -> Stock:
        given = data.model_dump(exclude_unset=True)
        return set_etag(response, await Stocks(session).add(Stock(**given)))

    @app.post("/stocks/bulk", response_model=list[StockRead])
    async def create_many(session: SessionDep, data: Rows[StockData]) -> Sequence[Stock]:
        return await Stocks(session).add_many([one.model_dump() for one in data])

    @app.patch("/stocks/{key}", response_model=StockRead)
    async def update(session: SessionDep, key: UUID, data: StockData, response: Response) -> Stock:
        stock = await Stocks(session).get(key)
        assert stock is not None
        given = data.model_dump(exclude_unset=True)
        return set_etag(response, await Stocks(session).update(stock, given))

    @app.get("/stocks/{key}", response_model=StockRead)
    async def get(session: SessionDep, key: UUID, response: Response) -> StoredRow | None:
        row = await Stocks(session).get_row(key)
        assert row is not None
        return set_etag(response, row)

    return "/stocks"


GIVEN: list[dict[str, Any]] = [
    {},
    {"price": 1},
    {"price": "1.005"},
    {"price": "1.10", "discount": "0.1"},
    {"price": "-0.00"},
    {"price": "123456789.12"},
    {"ratio": 0.1},
    {"ratio": 1 / 3, "exact_ratio": 0.1 + 0.2},
    {"ratio": 3, "exact_ratio": 1e300},
    {"details": {"long name": 1, "b": 1.0, "a": 1e2, "ü": [1.50, None, {"z": 1, "y": -0.0}]}},
    {"placed_at": "2026-01-01T12:00:00.123456+02:00"},
    {"placed_at": "2026-01-01T12:00:00Z"},
    {"local_at": "2026-01-01T12:00:00", "opens_at": "12:00:00"},
    {"local_at": "2026-01-01T12:00:00.123456", "opens_at": "12:00:00.654321"},
    {"day": "2026-01-01"},
    {"code": "ab"},
    {"code": "ab   "},
    {"kind": "LARGE", "name": "Größe "},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
async def test_response_to_a_write_has_the_stored_values(
    client: httpx2.AsyncClient, stocks: str, given: dict[str, Any]
) -> None:
    created = await client.post(stocks, json=given)
    link = f"{stocks}/{created.json()['id']}"
    await check_read(client, link, created)
    changed = await client.patch(link, json=given | {"name": "changed"})
    await check_read(client, link, changed)
    many = await client.post(f"{stocks}/bulk", json=[given, given])
    for one in many.json():
        assert (await client.get(f"{stocks}/{one['id']}")).json() == one


async def check_read(client: httpx2.AsyncClient, link: str, written: httpx2.Response) -> None:
    assert written.status_code == 200, written.text
    read = await client.get(link)
    assert read.text == written.text
    assert read.headers["ETag"] == written.headers["ETag"]


async def test_values_stored_unchanged_are_not_read_back(
    session_factory: SessionFactory, statement_limit: StatementLimit
) -> None:
    given = {
        "name": "Lamp",
        "price": Decimal("1.50"),
        "discount": Decimal("0.100"),
        "exact_ratio": 0.5,
        "placed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "local_at": datetime(2026, 1, 1),  # noqa: DTZ001
        "day": date(2026, 1, 1),
    }
    async with session_factory.begin() as session:
        # MariaDB returns inserted values; MySQL needs a query for computed ones.
        with statement_limit(2 if is_mysql(session) else 1):
            stock = await Stocks(session).add(Stock(**given))
        assert stock.doubled == Decimal("3.00")


def is_mysql(session: Session) -> bool:
    return session.get_bind().dialect.name == "mysql"


async def test_rows_are_read_back_with_one_statement(
    session_factory: SessionFactory, statement_limit: StatementLimit
) -> None:
    async with session_factory.begin() as session:
        stock = Stock(price=1, parts=[Piece() for _ in range(10)])
        # One statement per table written, or per row without RETURNING, and one per table read.
        returning = session.get_bind().dialect.insert_returning
        with statement_limit((5 if is_mysql(session) else 4) + (0 if returning else 9)):
            await Stocks(session).add(stock)
        assert str(stock.price) == "1.00"
        assert [str(part.price) for part in stock.parts] == ["0.00"] * 10
        assert not session.dirty
        for part in stock.parts:
            part.name = "changed"
        await session.flush()
        assert [str(part.price) for part in stock.parts] == ["1.00"] * 10


async def test_every_flush_reads_back_stored_values(session_factory: SessionFactory) -> None:
    async with session_factory.begin() as session:
        session.add(stock := Stock(details={"a": 1}))
        await session.flush()
        stock.placed_at = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))
        # A change inside a value that was read back is detected.
        assert stock.details is not None
        stock.details["b"] = 2
    assert stock.placed_at.tzinfo is UTC
    async with session_factory() as session:
        read = await session.get_one(Stock, stock.id)
    assert read.details == {"a": 1, "b": 2}
