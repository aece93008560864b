import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy import (
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
GIVEN = {"id": 1, "name": "lamp", "place": "here", "size": 1, "kind_id": 1}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, ["name is taken already", "place is taken already"]),
        ({"place": "there", "size": 0}, ["ck_test__thing_positive does not hold"]),
        ({"name": None}, ["name does not hold"]),
    ],
)
async def test_a_clash_is_named(
    connection: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    reasons: list[str],
) -> None:
    monkeypatch.setattr(Base, "metadata", metadata)
    await connection.run_sync(metadata.create_all)
    await connection.execute(kind.insert(), [{"id": 1}])
    await connection.execute(thing.insert(), [GIVEN])
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [GIVEN | {"id": 2} | change])
    told = database_errors.explain(caught.value)
    assert isinstance(told, ConflictError)
    assert [reason.reason for reason in told.errors] == reasons
    assert all(reason.location == [] for reason in told.errors)
    assert "lamp" not in str(told)


async def test_a_broken_reference_is_a_conflict(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Base, "metadata", metadata)
    await connection.run_sync(metadata.create_all)
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [GIVEN])
    assert isinstance(database_errors.explain(caught.value), ConflictError)


async def test_a_missing_table_is_the_servers_own_mistake(connection: AsyncConnection) -> None:
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [GIVEN])
    assert database_errors.explain(caught.value) is None


async def test_without_a_database_the_answer_is_503(
    client: httpx2.AsyncClient, app: FastAPI, settings: Settings
) -> None:
    url = settings.database.url.set(database="/missing/database")
    engine = create_engine(DatabaseSettings.model_construct(url=url, statement_timeout=1))
    app.state.session_factory = create_session_factory(engine)

    @app.get("/connection")
    async def connect(session: SessionDep) -> None:
        await session.connection()

    @app.get("/rows")
    async def read(session: SessionDep) -> None:
        await read_rows(session, select(thing), {})

    for path in ("/connection", "/rows"):
        response = await client.get(path)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.headers["content-type"] == "application/problem+json"
    await engine.dispose()


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
    await connection.execute(thing.insert(), [GIVEN])
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


SQLITE = bool(dialect.READING)
TAKEN = "is taken already"
NO_REFERENCE = "refers to what is not there, or is still referred to"


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize(
    ("method", "path", "body", "errors"),
    [
        (
            "POST",
            "/things",
            {"name": "lamp", "place": "here"},
            [(["body", "name"], TAKEN), (["body", "place"], TAKEN)],
        ),
        # Values that the service adds have no location in the request.
        ("POST", "/places/here/things", {"size": 1}, [(["path", "place"], TAKEN)]),
        ("POST", "/things", {"size": 0}, [([], "ck_test__thing_positive does not hold")]),
        # SQLite does not name foreign keys.
        (
            "POST",
            "/things",
            {"kindId": 7},
            [([], "a reference does not hold") if SQLITE else (["body", "kindId"], NO_REFERENCE)],
        ),
        (
            "DELETE",
            "/kinds/1",
            None,
            [([], "it is still referred to" + ("" if SQLITE else " by test__thing"))],
        ),
    ],
)
async def test_a_clash_is_located_in_the_request(
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


async def test_an_unexpected_error_of_a_request_with_a_body_is_raised_at_once(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    @app.post("/things")
    async def create(session: SessionDep, data: ThingData) -> None:
        await session.execute(thing.insert(), data.model_dump())

    # Nobody has created the table.
    with pytest.raises(DBAPIError):
        async with asyncio.timeout(5):
            await client.post("/things", json={"id": 1})
