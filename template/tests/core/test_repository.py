import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import MetaData, String, select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapped, mapped_column

from app.core import dialect
from app.core.database import Session, SessionFactory, create_engine, create_session_factory
from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind
from app.core.errors import MAX_ERRORS, AppError, ConflictError
from app.core.models import Base, Entity
from app.core.repository import Repository
from app.core.settings import Settings

SQLITE = bool(dialect.READ_ONLY)
# Takes seconds.
MANY_ROWS = """
INSERT INTO test__part (id, created_at, updated_at, name)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000000)
SELECT n, 0, 0, n FROM numbers
"""


class Part(Entity):
    __tablename__ = "test__part"
    # Separate from the application's models, which the migrations are compared with.
    metadata = MetaData(naming_convention=Entity.metadata.naming_convention)

    name: Mapped[str] = mapped_column(String(50), unique=True)


class Parts(Repository[Part]):
    model = Part


@pytest.fixture
async def parts(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database, and a table of parts."""
    # Where the constraints of errors are looked up.
    monkeypatch.setattr(Base, "metadata", Part.metadata)
    async with engine.begin() as connection:
        await connection.run_sync(Part.metadata.create_all)
    yield create_session_factory(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Part.metadata.drop_all)


async def names(factory: SessionFactory) -> list[str]:
    async with factory() as session:
        return list(await session.scalars(select(Part.name).order_by(Part.name)))


async def test_rejected_rows_are_listed_and_no_row_is_added(parts: SessionFactory) -> None:
    async with parts.begin() as session:
        first = await Parts(session).add(Part(name="a"))
        rows = [{"name": name} for name in ("b", "c", "a", "b")]
        with pytest.raises(ConflictError) as caught:
            await Parts(session).add_many(rows)
        assert list(session) == [first]
        await Parts(session).add_many([{"name": "d"}, {"name": "e"}])
    assert [(reason.location, reason.reason) for reason in caught.value.errors] == [
        (["body", 2, "name"], "already exists"),
        (["body", 3, "name"], "already exists"),
    ]
    assert await names(parts) == ["a", "d", "e"]


async def test_reasons_for_rejected_rows_are_limited(
    parts: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[object] = []
    try_insert = Parts._try_insert

    async def count(self: Parts, row: Any, location: list[str | int]) -> Any:
        searched.append(row)
        return await try_insert(self, row, location)

    monkeypatch.setattr(Parts, "_try_insert", count)
    async with parts.begin() as session:
        with pytest.raises(ConflictError, match="The first 100 reasons are listed") as caught:
            await Parts(session).add_many([{"name": "a"}] * (MAX_ERRORS + 50))
    assert len(caught.value.errors) == MAX_ERRORS
    # The first row is not rejected.
    assert len(searched) == MAX_ERRORS + 1
    assert await names(parts) == []


class ItemCreate(BaseModel):
    name: str


class Importer:
    """The example of docs/database.md."""

    def __init__(self, session: Session) -> None:
        self.repository = Parts(session)

    async def create_many(self, rows: list[ItemCreate]) -> None:
        await self.repository.add_many([data.model_dump() for data in rows])

    async def import_all(self, rows: list[ItemCreate]) -> list[str]:
        failures = []
        for data in rows:
            try:
                await self.create_many([data])
            except AppError as error:
                failures += [f"{data.name}: {reason.reason}" for reason in error.errors]
        return failures


async def test_import_keeps_rows_that_did_not_fail(parts: SessionFactory) -> None:
    async with parts.begin() as session:
        rows = [ItemCreate(name=name) for name in ("b", "a", "b", "c")]
        failures = await Importer(session).import_all(rows)
    assert failures == ["b: already exists"]
    assert await names(parts) == ["a", "b", "c"]


async def test_error_of_a_pending_change_is_not_reported_for_a_row(parts: SessionFactory) -> None:
    async with parts.begin() as session:
        await Parts(session).add(Part(name="a"))
    async with parts() as session:
        session.add(Part(name="a"))
        with pytest.raises(DBAPIError):
            await Parts(session).add_many([{"name": "b"}])
    assert await names(parts) == ["a"]


async def test_transaction_cannot_continue_after_losing_its_savepoints(
    parts: SessionFactory, settings: Settings
) -> None:
    """A deadlock on MySQL and an interrupted write on SQLite roll back all savepoints."""
    error = await (_interrupted(settings) if SQLITE else _deadlocked(parts))
    assert classify_error(error) is (ErrorKind.UNAVAILABLE if SQLITE else ErrorKind.RETRYABLE)
    written = await names(parts)
    assert {name.removesuffix(" later") for name in written} <= set(written)


async def _deadlocked(parts: SessionFactory) -> DBAPIError:
    barrier = asyncio.Barrier(2)

    async def write(first: str, second: str) -> DBAPIError | None:
        async with parts() as session:
            await Parts(session).add(Part(name=first))
            await barrier.wait()
            try:
                await Parts(session).add_many([{"name": f"{first} too"}, {"name": second}])
            except ConflictError:
                # The other transaction continued after its savepoint.
                return None
            except DBAPIError as error:
                await _continue(session, first)
                return error
        return None

    errors = await asyncio.gather(write("a", "b"), write("b", "a"))
    return next(error for error in errors if error)


async def _interrupted(settings: Settings) -> DBAPIError:
    limited = settings.database.model_copy(update={"statement_timeout": 0.1})
    engine = create_engine(limited)
    async with create_session_factory(engine)() as session:
        await Parts(session).add(Part(name="a"))
        with pytest.raises(DBAPIError) as caught:
            async with session.begin_nested():
                await session.execute(text(MANY_ROWS))
        await _continue(session, "a")
    await engine.dispose()
    return caught.value


async def _continue(session: Session, name: str) -> None:
    """Commit like a caller that assumes that its transaction is intact."""
    with suppress(DBAPIError, PendingRollbackError):
        await Parts(session).add(Part(name=f"{name} later"))
        await session.commit()
