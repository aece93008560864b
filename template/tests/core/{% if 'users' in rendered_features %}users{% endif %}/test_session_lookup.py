"""Drivers find sessions; SQLAlchemy does if they cannot."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import structlog
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from app.core.database import SessionFactory, create_session_factory
from app.core.models import utc_now
from app.core.users import driver_read, token_lookup
from app.core.users.models import UserAccount
from app.core.users.session_lookup import SESSION_LOOKUP
from app.core.users.sessions import Device, start_session
from app.core.users.tokens import hash_token
from tests.conftest import StatementLimit


@pytest.fixture
async def session_factory(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit to the database."""
    sessions = create_session_factory(engine)
    yield sessions
    async with sessions.begin() as session:
        await session.execute(delete(UserAccount))


@pytest.fixture(params=[None, utc_now()], ids=["active", "deactivated"])
async def token_hash(session_factory: SessionFactory, request: pytest.FixtureRequest) -> str:
    account = UserAccount(
        id=uuid7(), email="ada@example.com", roles=["a", "ü"], deactivated_at=request.param
    )
    async with session_factory.begin() as session:
        session.add(account)
        await session.flush()
        token = await start_session(session, account.id, Device())
    return hash_token(token)


async def test_drivers_find_what_sqlalchemy_finds(
    session_factory: SessionFactory, token_hash: str, statement_limit: StatementLimit
) -> None:
    with statement_limit(0):
        found = await SESSION_LOOKUP.find(session_factory, token_hash)
    async with session_factory() as session:
        assert found == await SESSION_LOOKUP.find_in(session, token_hash)
    assert found is not None
    assert found.roles == ["a", "ü"]


async def test_unknown_sessions_are_not_found(
    session_factory: SessionFactory, statement_limit: StatementLimit
) -> None:
    with statement_limit(0):
        assert await SESSION_LOOKUP.find(session_factory, "unknown") is None


async def test_sqlalchemy_repeats_what_a_driver_cannot_read(
    session_factory: SessionFactory, token_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await SESSION_LOOKUP.find(session_factory, token_hash)

    async def fail(*_: object) -> None:
        raise OSError("broken")

    monkeypatch.setattr(token_lookup, "fetch_rows", fail)
    with structlog.testing.capture_logs() as logs:
        assert await SESSION_LOOKUP.find(session_factory, token_hash) == expected
    [line] = logs
    assert (line["log_level"], line["error"], line["reason"]) == ("warning", "OSError", "broken")


async def test_a_connection_that_was_lost_is_replaced(
    engine: AsyncEngine, session_factory: SessionFactory, token_hash: str
) -> None:
    expected = await SESSION_LOOKUP.find(session_factory, token_hash)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        closing = raw.driver_connection.close()  # type: ignore[union-attr]
        if asyncio.iscoroutine(closing):
            await closing
        await connection.invalidate()
    assert await SESSION_LOOKUP.find(session_factory, token_hash) == expected


async def test_parallel_lookups_leave_no_connection_behind(
    engine: AsyncEngine, session_factory: SessionFactory, token_hash: str
) -> None:
    found = await asyncio.gather(
        *(SESSION_LOOKUP.find(session_factory, token_hash) for _ in range(50))
    )
    assert None not in found
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_lookups_at_the_same_time_share_statements(
    session_factory: SessionFactory, token_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    async def fetch_rows(connection: Any, sql: str, parameters: Sequence[str]) -> Any:
        sizes.append(len(parameters))
        return await driver_read.fetch_rows(connection, sql, parameters)

    monkeypatch.setattr(token_lookup, "fetch_rows", fetch_rows)
    hashes = [token_hash, *(f"unknown {number}" for number in range(20))] * 2
    found = await asyncio.gather(*(SESSION_LOOKUP.find(session_factory, one) for one in hashes))
    assert [row is not None for row in found] == [one == token_hash for one in hashes]
    # Of 32 and 10 hashes.
    assert sizes == [32, 16]


async def test_changes_of_other_transactions_are_seen_at_once(
    session_factory: SessionFactory, token_hash: str
) -> None:
    assert await SESSION_LOOKUP.find(session_factory, token_hash) is not None
    async with session_factory.begin() as session:
        await session.execute(delete(UserAccount))
    assert await SESSION_LOOKUP.find(session_factory, token_hash) is None
