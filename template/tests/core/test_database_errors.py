import httpx2
import pytest
from fastapi import FastAPI
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
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import database_errors
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
        ({}, {"name": "is taken already", "place": "is taken already"}),
        ({"place": "there", "size": 0}, {"ck_test__thing_positive": "does not hold"}),
    ],
)
async def test_a_clash_is_named(
    connection: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    reasons: dict[str, str],
) -> None:
    monkeypatch.setattr(Base, "metadata", metadata)
    await connection.run_sync(metadata.create_all)
    await connection.execute(kind.insert(), [{"id": 1}])
    await connection.execute(thing.insert(), [GIVEN])
    with pytest.raises(DBAPIError) as caught:
        await connection.execute(thing.insert(), [GIVEN | {"id": 2} | change])
    told = database_errors.explain(caught.value)
    assert isinstance(told, ConflictError)
    assert {reason.location[-1]: reason.reason for reason in told.errors} == reasons
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
