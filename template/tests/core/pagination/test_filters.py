import enum
import operator
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import httpx2
import pytest
from fastapi import FastAPI, Query
from pydantic import AwareDatetime, Field
from sqlalchemy import JSON, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import SessionDep, SessionFactory, StoredRow, create_session_factory
from app.core.models import Entity
from app.core.pagination import Page, PageQuery, PageResult
from app.core.pagination.filters import Filter, NotAFilter, contains, one_of, starts_with
from app.core.pagination.query_check import check_queries, check_query
from app.core.repository import Repository
from app.core.schemas import ReadSchema, Text
from app.core.settings import Settings
from app.main import create_app

# Separate from the application's models, which the migrations are compared with.
METADATA = MetaData(naming_convention=Entity.metadata.naming_convention)
PATH = "/filtered"
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


class State(enum.Enum):
    NEW = "new"
    PAID = "paid"
    SENT = "sent"


class Filtered(Entity):
    # Longer than any module's table name.
    __tablename__ = "row_with_columns_to_filter"
    metadata = METADATA

    name: Mapped[str]
    note: Mapped[str | None]
    state: Mapped[State]
    placed_at: Mapped[datetime]
    tags: Mapped[list[str]] = mapped_column(JSON)


class FilteredQuery(PageQuery):
    sort: Literal["id", "placed_at", "-placed_at"] = "id"
    name: str | None = None
    state: Annotated[list[State] | None, Filter("state", one_of)] = None
    placed_at: Annotated[list[AwareDatetime] | None, Filter("placed_at", one_of)] = None
    placed_from: Annotated[AwareDatetime | None, Filter("placed_at", operator.ge)] = None
    placed_before: Annotated[AwareDatetime, Filter("placed_at", operator.lt)] | None = None
    unlike: Annotated[str | None, Filter("name", operator.ne)] = Field(None, alias="not")
    search: Annotated[Text | None, Filter(("name", "note"), contains)] = None
    prefix: Annotated[Text | None, Filter("name", starts_with)] = None
    shout: Annotated[bool, NotAFilter()] = False


class FilteredRepository(Repository[Filtered]):
    model = Filtered
    page_query = FilteredQuery


class FilteredRead(ReadSchema):
    name: str


ROWS: list[dict[str, Any]] = [
    {"name": "Lamp", "note": "50% off", "state": State.NEW},
    {"name": "lamp_shade", "note": None, "state": State.PAID},
    {"name": "Table", "note": "for a LAMP", "state": State.SENT},
    {"name": "100/50", "note": "\\", "state": State.SENT},
]


@pytest.fixture(scope="module")
async def sessions(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions on a database with the rows."""
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    factory = create_session_factory(engine)
    async with factory.begin() as session:
        for number, values in enumerate(ROWS):
            placed_at = NOON + timedelta(hours=number)
            session.add(Filtered(**values, placed_at=placed_at, tags=[]))
            # Keys ascend in the order of the rows.
            await session.flush()
    yield factory
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)


@pytest.fixture
def app(settings: Settings, sessions: SessionFactory) -> FastAPI:
    app = create_app(settings, configure_logging=False)
    app.state.session_factory = sessions

    @app.get(PATH, response_model=Page[FilteredRead])
    async def page(
        session: SessionDep, query: Annotated[FilteredQuery, Query()]
    ) -> PageResult[StoredRow]:
        return await FilteredRepository(session).list_rows(query)

    return app


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "0123"),
        ("name=Table", "2"),
        ("state=new", "0"),
        ("state=sent&state=new", "023"),
        ("placed_at=2026-03-29T12:00:00Z&placed_at=2026-03-29T15:00:00%2B02:00", "01"),
        ("placed_from=2026-03-29T13:00:00Z", "123"),
        ("placed_before=2026-03-29T13:00:00Z", "0"),
        ("placed_from=2026-03-29T15:00:00%2B02:00&placed_before=2026-03-29T15:00:00Z", "12"),
        ("not=Table", "013"),
        ("search=LAMP", "012"),
        ("search=%25", "0"),
        ("search=_", "1"),
        ("search=/", "3"),
        ("search=%5C", "3"),
        ("search=p_", "1"),
        ("prefix=1%25", ""),
        ("prefix=100/", "3"),
        ("prefix=Ta&state=sent", "2"),
        ("shout=true", "0123"),
    ],
)
async def test_filters_apply_to_every_page(
    client: httpx2.AsyncClient, query: str, found: str
) -> None:
    names: list[str] = []
    link: str | None = f"?{query}&limit=1&total=true"
    while link is not None and len(names) <= len(ROWS):
        response = await client.get(PATH + link)
        assert response.status_code == 200, response.text
        page = response.json()
        names += [row["name"] for row in page["items"]]
        assert page["total"] == len(found)
        if link := page["next"]:
            given = parse_qsl(link.removeprefix("?"))
            assert sorted(name for name, _ in given if name in query) == sorted(
                name for name, _ in parse_qsl(query)
            )
    assert names == [ROWS[int(number)]["name"] for number in found]


@pytest.mark.parametrize(
    "query",
    [
        *("state=lost", "state=", "placed_from=2026-03-29T13:00:00", "placed_from=soon"),
        *("search=%00", "unlike=Table", "state=new&colour=red"),
    ],
)
async def test_invalid_filters_are_rejected(client: httpx2.AsyncClient, query: str) -> None:
    response = await client.get(f"{PATH}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"][0] == "query"


def test_filters_are_documented_with_their_types(app: FastAPI) -> None:
    parameters = app.openapi()["paths"][PATH]["get"]["parameters"]
    described = {one["name"]: one["schema"] for one in parameters}
    assert described["state"]["anyOf"][0]["type"] == "array"
    assert described["placed_from"]["anyOf"][0]["format"] == "date-time"
    assert "not" in described


class Unknown(PageQuery):
    placed_until: datetime | None = None


class Misnamed(PageQuery):
    placed_until: Annotated[datetime | None, Filter("placed", operator.lt)] = None


class Listed(PageQuery):
    state: list[State] | None = None


class ListColumn(PageQuery):
    tags: list[str] | None = None


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (Unknown, "Unknown.placed_until: Filtered has no column 'placed_until'; its columns are: "),
        (Unknown, "created_at, id, name, note, placed_at, state, tags, updated_at. "),
        (Unknown, r"Filter\(.*operator.eq\).* NotAFilter\(\)"),
        (Misnamed, "Misnamed.placed_until: Filtered has no column 'placed'"),
        (Listed, r"Listed.state: .* Filter\(\"state\", one_of\)"),
    ],
)
def test_filter_without_a_column_is_a_type_error(query: type[PageQuery], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        type("Rejected", (FilteredRepository,), {"page_query": query})


def test_list_can_be_compared_with_a_list_column() -> None:
    check_query(Filtered, ListColumn)


async def test_undeclared_query_class_is_checked_on_use(
    sessions: SessionFactory,
) -> None:
    async with sessions() as session:
        repository = FilteredRepository(session)
        assert len((await repository.list_rows(PageQuery())).items) == len(ROWS)
        assert len((await repository.list_rows(Unknown())).items) == len(ROWS)
        with pytest.raises(TypeError, match=r"Unknown.placed_until"):
            await repository.list_rows(Unknown(placed_until=NOON))


def test_query_class_of_a_module_is_checked_at_startup(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entities(Repository[Filtered]):
        model = Filtered

    class Undeclared(PageQuery):
        placed_until: AwareDatetime | None = None

    check_queries(Repository)
    monkeypatch.setattr(Entities, "__module__", "app.modules.forgotten.repository")
    monkeypatch.setattr(Undeclared, "__module__", "app.modules.forgotten.schemas")
    with pytest.raises(TypeError, match=r"Undeclared.placed_until"):
        create_app(settings, configure_logging=False)


def test_sort_by_an_enum_without_text_values_is_a_type_error() -> None:
    class PlainSort(PageQuery):
        sort: State = State.NEW

    with pytest.raises(TypeError, match=r"PlainSort.sort: expected a Literal or a StrEnum"):
        check_query(Filtered, PlainSort)


def test_comparison_of_a_date_with_a_datetime_column_is_a_type_error() -> None:
    class ByDay(PageQuery):
        placed_from: Annotated[date | None, Filter("placed_at", operator.ge)] = None

    with pytest.raises(TypeError, match=r"ByDay.placed_from: a date .* AwareDatetime"):
        check_query(Filtered, ByDay)
