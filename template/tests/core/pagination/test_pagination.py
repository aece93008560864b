import enum
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import product
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import create_model
from pydantic_core import from_json, to_json
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    Enum,
    Float,
    MetaData,
    Numeric,
    SmallInteger,
    String,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from app.core.database import Session, create_session_factory
from app.core.dialect import DIALECT
from app.core.errors import InvalidError
from app.core.models import Entity
from app.core.pagination import PageQuery
from app.core.pagination.cursors import decode_cursor, encode_cursor
from app.core.pagination.query_check import check_query
from app.core.repository import Repository

# Separate from the application's models, which the migrations are compared with.
METADATA = MetaData(naming_convention=Entity.metadata.naming_convention)


class Colour(enum.Enum):
    RED = "red"
    LIGHT_BLUE = "light-blue"


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


@dataclass(frozen=True)
class Money:
    cents: int


class MoneyType(TypeDecorator[Money]):
    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Money | None, dialect: object) -> int | None:
        return None if value is None else value.cents

    def process_result_value(self, value: int | None, dialect: object) -> Money | None:
        return None if value is None else Money(value)


class EmailType(TypeDecorator[str]):
    impl = String(200)
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        return str

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        if value and "@" not in value:
            raise ValueError(f"{value} is not an e-mail address")
        return value and value.lower()


class BackwardType(TypeDecorator[str]):
    """A nested decorator, whose values are sorted by their endings."""

    impl = EmailType
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        return value and value[::-1]

    def process_result_value(self, value: str | None, dialect: object) -> str | None:
        return value and value[::-1]


class Typed(Entity):
    # Longer than any module's table name.
    __tablename__ = "row_with_every_sortable_type"
    metadata = METADATA

    aware: Mapped[datetime]
    naive: Mapped[datetime] = mapped_column(DateTime())
    day: Mapped[date]
    hour: Mapped[time]
    duration: Mapped[timedelta]
    amount: Mapped[Decimal] = mapped_column(Numeric(14, 4))
    number: Mapped[int]
    small: Mapped[int] = mapped_column(SmallInteger)
    big: Mapped[int] = mapped_column(BigInteger)
    ratio: Mapped[float] = mapped_column(Double)
    flag: Mapped[bool]
    text: Mapped[str]
    code: Mapped[UUID]
    colour: Mapped[Colour]
    size: Mapped[Size] = mapped_column(Enum(Size, native_enum=False, length=10))
    price: Mapped[Money] = mapped_column(MoneyType)
    email: Mapped[str] = mapped_column(EmailType)
    backward: Mapped[str] = mapped_column(BackwardType)

    unsortable: Mapped[dict[str, Any]] = mapped_column(JSON)
    nullable: Mapped[str | None]


NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
# Three values of each column, in ascending order.
VALUES: dict[str, Sequence[Any]] = {
    "aware": [NOON, NOON + timedelta(microseconds=1), NOON + timedelta(days=1)],
    "naive": [datetime(1999, 12, 31), datetime(2000, 1, 1), datetime(2000, 1, 1, 1)],  # noqa: DTZ001
    "day": [date(1999, 12, 31), date(2000, 1, 1), date(2026, 2, 28)],
    "hour": [time(0), time(9, 30), time(23, 59, 59)],
    "duration": [timedelta(0), timedelta(seconds=90), timedelta(days=3)],
    "amount": [Decimal("-0.0001"), Decimal("1.1000"), Decimal("9999999.9999")],
    "number": [-(2**31), 0, 2**31 - 1],
    "small": [-(2**15), 0, 2**15 - 1],
    "big": [-(2**63), 2**53 + 1, 2**63 - 1],
    "ratio": [-1e300, 0.1, 1 / 3],
    "flag": [False, False, True],
    "text": ["", "a/%_\\'\"é😀", "b"],
    "code": [UUID(int=0), UUID(int=2**64), UUID(int=2**128 - 1)],
    "colour": [Colour.LIGHT_BLUE, Colour.RED, Colour.RED],
    "size": [Size.LARGE, Size.SMALL, Size.SMALL],
    "price": [Money(0), Money(999), Money(1000)],
    "email": ["a@example.com", "b@example.com", "c@example.com"],
    "backward": ["z@example.com.a", "y@example.com.b", "x@example.com.c"],
}


class TypedRepository(Repository[Typed]):
    model = Typed


@cache
def query_class(sort: str) -> Any:
    orders: Any = Literal["id", "-id", sort]
    return create_model("TypedQuery", __base__=PageQuery, sort=(orders, "id"))


def query(sort: str, **values: Any) -> PageQuery:
    instance: PageQuery = query_class(sort)(sort=sort, **values)
    return instance


@pytest.fixture(scope="module")
async def keys(engine: AsyncEngine) -> AsyncIterator[list[UUID]]:
    """The keys of rows with the ascending values of every column, each twice."""
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    async with create_session_factory(engine).begin() as session:
        rows = []
        for number in (0, 1, 2, 0, 1, 2):
            values = {name: values[number] for name, values in VALUES.items()}
            session.add(row := Typed(**values, unsortable={}))
            await session.flush()
            rows.append(row.id)
    yield rows
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[Session]:
    async with create_session_factory(engine)() as session:
        yield session


def expected(keys: list[UUID], name: str, *, descending: bool) -> list[UUID]:
    ranks = [VALUES[name].index(VALUES[name][number]) for number in (0, 1, 2, 0, 1, 2)]
    ordered = sorted(zip(ranks, keys, strict=True), reverse=descending)
    return [key for _, key in ordered]


Reader = Callable[[TypedRepository, PageQuery], Any]
READERS: dict[str, Reader] = {
    "entities": TypedRepository.list_entities,
    "rows": TypedRepository.list_rows,
}


async def keys_on_pages(session: Session, read: Reader, sort: str, limit: int) -> list[UUID]:
    found: list[UUID] = []
    cursor = None
    # At most as many pages as rows: endless pages fail the test.
    for _ in range(7):
        page = await read(TypedRepository(session), query(sort, limit=limit, cursor=cursor))
        found += [row.id for row in page.items]
        if (cursor := page.next_cursor) is None:
            break
    return found


@pytest.mark.parametrize("name", VALUES)
async def test_pages_sorted_by_any_type_have_each_row_once(
    session: Session, keys: list[UUID], name: str
) -> None:
    for (reader, read), limit in product(READERS.items(), (1, 4)):
        for descending in (False, True):
            sort = f"-{name}" if descending else name
            found = await keys_on_pages(session, read, sort, limit)
            assert found == expected(keys, name, descending=descending), (reader, limit, sort)


def forge(sort: str, *values: Any) -> str:
    return urlsafe_b64encode(to_json([sort, *values])).decode().rstrip("=")


async def assert_rejected(session: Session, sort: str, cursor: str) -> None:
    with pytest.raises(InvalidError, match=r"Invalid cursor .* omit `cursor`") as caught:
        await TypedRepository(session).list_rows(query(sort, cursor=cursor))
    assert caught.value.errors[0].location == ["query", "cursor"]


FORGED: dict[str, list[Any]] = {
    "aware": ["2026-03-29T12:00:00+99:00", "0001-01-01T00:00:00+14:00", "", 2**70],
    "naive": ["2026-03-29T12:00:00Z", "10000-01-01T00:00:00", None],
    "day": ["0000-00-00", "2026-02-30", 1],
    "hour": ["24:00:01", "12:00:00+01:00", -1],
    "duration": ["P999999999999D", "1e400", {}],
    "amount": ["NaN", "sNaN", "Infinity", "1e400", "x", [1]],
    "number": [2**63, 1.5, "1", None],
    "small": [2**63, "1"],
    "big": [2**63, -(2**63) - 1, 10**400],
    "ratio": [float("nan"), float("inf"), "0.1"],
    "flag": ["true", 1],
    "text": ["\0", 1, None],
    "code": ["1", 1],
    "colour": ["green", "RED", 1],
    "size": [1, "MEDIUM"],
    "price": [{"cents": 1}, 2**63],
    "email": ["a\0@example.com", 1],
}


@pytest.mark.parametrize("name", FORGED)
async def test_forged_cursors_are_rejected(session: Session, keys: list[UUID], name: str) -> None:
    for value in FORGED[name]:
        await assert_rejected(session, name, forge(name, value, keys[0]))


@pytest.mark.parametrize(
    ("name", "value", "rejected_by"),
    [
        ("number", 2**31, {"postgresql"}),
        ("small", 2**15, {"postgresql"}),
        ("amount", "99999999999.1", {"postgresql"}),
        # Stored as a datetime, which has no year beyond 9999.
        ("duration", "P5000000D", {"mysql", "sqlite"}),
    ],
)
async def test_cursor_out_of_range_is_rejected_or_returns_an_empty_page(
    session: Session, keys: list[UUID], name: str, value: object, rejected_by: set[str]
) -> None:
    cursor = forge(name, value, keys[0])
    if DIALECT.name in rejected_by:
        await assert_rejected(session, name, cursor)
    else:
        page = await TypedRepository(session).list_rows(query(name, cursor=cursor))
        assert page.items == []


async def test_cursors_of_another_order_or_shape_are_rejected(
    session: Session, keys: list[UUID]
) -> None:
    page = await TypedRepository(session).list_rows(query("text", limit=1))
    assert page.next_cursor
    decoded = from_json(urlsafe_b64decode(page.next_cursor + "=="))
    for cursor in (
        *("first", "é", "", forge("text"), forge("text", "a"), forge("text", "a", "b")),
        forge("text", *decoded[1:], "more"),
        urlsafe_b64encode(b'["text","\\ud800","\xff"]').decode(),
    ):
        await assert_rejected(session, "text", cursor)
    await assert_rejected(session, "-text", page.next_cursor)
    await assert_rejected(session, "number", page.next_cursor)


@pytest.mark.parametrize(
    ("sort", "reason"),
    [
        ("unsortable", "cannot encode its values"),
        ("nullable", "is nullable"),
        ("colours", "no column 'colours'; its columns are: amount, aware, backward, big"),
    ],
)
def test_unsortable_column_is_a_type_error(sort: str, reason: str) -> None:
    sorting = type(query(sort))
    with pytest.raises(TypeError, match=f"TypedQuery.sort '{sort}': .*{reason}"):
        type("Rejected", (TypedRepository,), {"page_query": sorting})


def test_sort_without_choices_is_a_type_error() -> None:
    anything = create_model("Anything", __base__=PageQuery, sort=(str, "id"))
    with pytest.raises(TypeError, match=r"Anything.sort: expected a Literal"):
        check_query(Typed, anything)


def test_types_that_mysql_compares_inexactly_are_type_errors() -> None:
    class Imprecise(Entity):
        __tablename__ = "row_with_types_that_are_imprecise"
        metadata = MetaData()

        ratio: Mapped[float] = mapped_column(Float)
        colour: Mapped[Colour] = mapped_column(Enum(Colour))

    for sort, reason in (("ratio", r"use Double\(\)"), ("colour", "native_enum=False")):
        if DIALECT.name == "mysql":
            with pytest.raises(TypeError, match=reason):
                check_query(Imprecise, type(query(sort)))
        else:
            check_query(Imprecise, type(query(sort)))


@pytest.mark.parametrize("character", ["a", "😀", "\x01", '"'])
def test_cursor_of_a_long_text_is_accepted(character: str) -> None:
    row = Typed(id=UUID(int=1), text=character * 2000)
    cursor = encode_cursor(Typed, "text", row)
    assert decode_cursor(Typed, "text", PageQuery(cursor=cursor).cursor or "")[0] == row.text
