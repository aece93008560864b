"""Lines about successes are written after the commit; see also tests/core/test_commits.py."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.auth.audit import audit_after_commit
from app.core.database import Session, create_session_factory

BEGIN = select(literal(1))


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[Session]:
    """A session with a transaction."""
    async with create_session_factory(engine)() as session:
        await session.execute(BEGIN)
        yield session


def events(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs if line.get("audit")]


async def test_an_event_is_logged_once_after_the_commit(session: Session, logs: list[Any]) -> None:
    audit_after_commit(session, "first", number=1)
    audit_after_commit(session, "second")
    assert logs == []
    await session.commit()
    assert events(logs) == ["first", "second"]
    assert logs[0]["number"] == 1
    await session.execute(BEGIN)
    audit_after_commit(session, "third")
    await session.commit()
    assert events(logs) == ["first", "second", "third"]


async def test_a_rollback_logs_nothing(session: Session, logs: list[Any]) -> None:
    audit_after_commit(session, "lost")
    await session.rollback()
    await session.execute(BEGIN)
    audit_after_commit(session, "kept")
    await session.commit()
    assert events(logs) == ["kept"]


async def test_a_session_that_is_closed_logs_nothing(session: Session, logs: list[Any]) -> None:
    audit_after_commit(session, "lost")
    await session.close()
    await session.execute(BEGIN)
    await session.commit()
    assert logs == []


async def test_a_savepoint_that_is_rolled_back_loses_its_own_events(
    session: Session, logs: list[Any]
) -> None:
    audit_after_commit(session, "before")
    async with session.begin_nested() as savepoint:
        audit_after_commit(session, "lost")
        async with session.begin_nested():
            audit_after_commit(session, "lost, although its savepoint was released")
        await savepoint.rollback()
    audit_after_commit(session, "after")
    await session.commit()
    assert events(logs) == ["before", "after"]


async def test_a_savepoint_that_is_released_logs_with_the_transaction(
    session: Session, logs: list[Any]
) -> None:
    async with session.begin_nested():
        audit_after_commit(session, "inner")
    assert logs == []
    audit_after_commit(session, "outer")
    await session.commit()
    assert events(logs) == ["inner", "outer"]


async def test_without_a_transaction_there_is_nothing_to_wait_for(
    engine: AsyncEngine, logs: list[Any]
) -> None:
    async with create_session_factory(engine)() as session:
        audit_after_commit(session, "event")
    assert events(logs) == ["event"]
