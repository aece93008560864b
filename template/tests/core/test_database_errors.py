import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy import (
    URL,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from structlog.testing import capture_logs

from app.core import database_errors, dialect
from app.core.database import SessionDep, create_engine, create_session_factory, read_rows
from app.core.errors import ConflictError
from app.core.models import Base
from app.core.settings import DatabaseSettings, Settings

metadata = MetaData(naming_convention=Base.metadata.naming_convention)
kind = Table("test__kind", metadata, Column("id", Integer, primary_key=True))
thing = Table(
    "test__thing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(10), nullable=False),
    Column("place", String(10), nullable=False),
    Column("size", Integer),
    Column("kind_id", ForeignKey(kind.c.id)),
    UniqueConstraint("name", "place"),
    CheckConstraint("size > 0", name="positive"),
)
HIDDEN = "s3cret"
# Without a name server, resolving it takes longer than /health/ready waits.
UNKNOWN_HOST = "no-such-host.invalid"
STORED = {"id": 1, "name": "lamp", "place": "here", "size": 1, "kind_id": 1}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, ["name already exists", "place already exists"]),
        ({"place": "there", "size": 0}, ["ck_test__thing_positive is violated"]),
        ({"name": None}, ["name is violated"]),
    ],
)
async def test_a_conflict_names_columns_or_constraint(
    connection: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    reasons: list[str],
) -> None:
    monkeypatch.setattr(Base, "metadata", metadata)
    await connection.run_sync(metadata.create_all)
    await connection.execute(kind.insert(), [{"id": 1}])
    await connection.execute(thing.insert(), [STORED])
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [STORED | {"id": 2} | change])
    app_error = database_errors.to_app_error(caught.value)
    assert isinstance(app_error, ConflictError)
    assert [detail.reason for detail in app_error.errors] == reasons
    assert all(detail.location == [] for detail in app_error.errors)
    assert "lamp" not in str(app_error)


async def test_a_foreign_key_violation_returns_409(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Base, "metadata", metadata)
    await connection.run_sync(metadata.create_all)
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [STORED])
    assert isinstance(database_errors.to_app_error(caught.value), ConflictError)


async def test_a_missing_table_is_an_internal_server_error(connection: AsyncConnection) -> None:
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [STORED])
    assert database_errors.to_app_error(caught.value) is None


class ThingData(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    id: int = 2
    name: str = "lamp"
    place: str = "there"
    size: int | None = 1
    kind_id: int | None = None


@pytest.fixture
async def things(
    connection: AsyncConnection, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One kind, one thing of that kind, and routes that write more."""
    monkeypatch.setattr(Base, "metadata", metadata)
    await connection.run_sync(metadata.create_all)
    await connection.execute(kind.insert(), [{"id": 1}])
    await connection.execute(thing.insert(), [STORED])
    await connection.commit()
    app.state.session_factory = async_sessionmaker(connection)

    @app.post("/things")
    async def create(session: SessionDep, data: ThingData) -> None:
        await session.execute(thing.insert(), data.model_dump())

    @app.post("/places/{place}/things")
    async def create_there(session: SessionDep, place: str, data: ThingData) -> None:
        await session.execute(thing.insert(), data.model_dump() | {"place": place})

    @app.delete("/kinds/{key}")
    async def delete(session: SessionDep, key: int) -> None:
        await session.execute(kind.delete().where(kind.c.id == key))


SQLITE = bool(dialect.READ_ONLY)
EXISTS = "already exists"
NO_REFERENCE = "references a missing row, or is still referenced"


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize(
    ("method", "path", "body", "errors"),
    [
        (
            "POST",
            "/things",
            {"name": "lamp", "place": "here"},
            [(["body", "name"], EXISTS), (["body", "place"], EXISTS)],
        ),
        # Values that the service adds have no location in the request.
        ("POST", "/places/here/things", {"size": 1}, [(["path", "place"], EXISTS)]),
        ("POST", "/things", {"size": 0}, [([], "ck_test__thing_positive is violated")]),
        # SQLite does not name foreign keys.
        (
            "POST",
            "/things",
            {"kindId": 7},
            [([], "foreign key is violated") if SQLITE else (["body", "kindId"], NO_REFERENCE)],
        ),
        (
            "DELETE",
            "/kinds/1",
            None,
            [([], "row is still referenced" + ("" if SQLITE else " by test__thing"))],
        ),
    ],
)
async def test_a_conflict_is_located_in_the_request(
    client: httpx2.AsyncClient,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    errors: list[tuple[list[str], str]],
) -> None:
    response = await client.request(method, path, json=body)
    assert response.status_code == 409
    found = [(error["location"], error["reason"]) for error in response.json()["errors"]]
    assert found == errors


async def test_an_unexpected_error_of_a_request_with_a_body_does_not_hang(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.post("/things")
    async def create(session: SessionDep, data: ThingData) -> None:
        await session.execute(thing.insert(), data.model_dump())

    # The table does not exist.
    with pytest.raises(DBAPIError):
        async with asyncio.timeout(5):
            await client.post("/things", json={"id": 1})


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as closed:
        # Bound, so that nothing else uses the port, but not listening.
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture
def reading_routes(app: FastAPI) -> None:
    @app.get("/connection")
    async def connect(session: SessionDep) -> None:
        await session.connection()

    @app.get("/rows")
    async def read(session: SessionDep) -> None:
        await read_rows(session, select(thing), {})


def unreachable_urls(url: URL, port: int) -> list[URL]:
    """Return URLs with an unknown database, role, port or host; for a file, only the first."""
    missing = url.set(database="/missing/database")
    if url.get_backend_name() == "sqlite":
        return [missing]
    closed = url.set(host="127.0.0.1", port=port, query={}, password=HIDDEN)
    return [
        missing,
        url.set(username="nobody", password=HIDDEN),
        closed,
        closed.set(host=UNKNOWN_HOST),
    ]


@pytest.mark.usefixtures("reading_routes")
async def test_an_unreachable_database_returns_503_and_logs_the_cause(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings, closed_port: int
) -> None:
    for url in unreachable_urls(settings.database.url, closed_port):
        engine = create_engine(DatabaseSettings.model_construct(url=url, statement_timeout=1))
        app.state.session_factory = create_session_factory(engine)
        for path in ("/connection", "/rows", "/health/ready"):
            with capture_logs() as lines:
                response = await client.get(path)
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "1"
            assert response.headers["content-type"] == "application/problem+json"
            [line] = [line for line in lines if line["event"] == "database unavailable"]
            assert line["log_level"] == "warning"
            assert line["error"]
            assert url.host == UNKNOWN_HOST or {"code", "reason"} <= line.keys()
            assert HIDDEN not in str(line)
            assert "exc_info" not in line
        await engine.dispose()


@pytest.mark.usefixtures("reading_routes")
async def test_an_exhausted_pool_returns_503_and_logs_it(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings
) -> None:
    limits = {"pool_size": 1, "pool_timeout": 0.01}
    engine = create_engine(settings.database.model_copy(update=limits))
    app.state.session_factory = create_session_factory(engine)
    async with engine.connect():
        for path in ("/connection", "/health/ready"):
            with capture_logs() as lines:
                response = await client.get(path)
            assert response.status_code == 503
            [line] = [line for line in lines if line["event"] == "connection pool exhausted"]
            assert line["reason"].startswith("QueuePool limit of size 1 overflow 0 reached")
    await engine.dispose()
