"""Rows that have expired are deleted."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.sql.elements import BooleanClauseList
from sqlalchemy.sql.operators import or_
from sqlalchemy.sql.visitors import iterate

from app.core.database import SessionFactory
from app.core.jobs import enqueue
from app.core.jobs.schedules import SCHEDULES
from app.core.models import Base, utc_now
from app.core.users import expired_rows
from app.core.users.expired_rows import CONDITIONS, TABLES
from app.core.users.jobs import delete_expired
from app.core.users.models import (
    UserAccount,
    UserApiKey,
    UserChallenge,
    UserProviderLogin,
    UserSession,
    UserThrottle,
    UserToken,
    UserTOTP,
)
from tests.core.jobs.fixtures import JobRunner
from tests.core.users.conftest import delete_all_expired

# The rows of each table that expire, with what they need beside `expires_at`.
EXPIRING: dict[type[Base], dict[str, Any]] = {
    UserSession: {"token_hash": "x"},
    UserToken: {"token_hash": "x", "purpose": "x", "email": "x@y"},
    UserApiKey: {"key_hash": "x", "name": "x", "prefix": "x", "scopes": []},
    UserProviderLogin: {
        "state_hash": "x",
        "cookie_hash": "x",
        "provider": "x",
        "is_renewal": False,
    },
    UserChallenge: {"challenge_hash": "x", "purpose": "x"},
}


async def delete_and_count(sessions: SessionFactory, model: type[Base]) -> int | None:
    async with sessions.begin() as session:
        await delete_all_expired(session)
        return await session.scalar(select(func.count()).select_from(model))


@pytest.mark.parametrize("model", EXPIRING, ids=lambda model: model.__name__)
@pytest.mark.parametrize(("days", "count"), [(-1, 0), (1, 1)])
async def test_rows_are_deleted_once_they_have_expired(
    ada: UserAccount, session_factory: SessionFactory, model: type[Base], days: int, count: int
) -> None:
    owner = {"user_id": ada.id} if hasattr(model, "user_id") else {}
    async with session_factory.begin() as session:
        session.add(model(**EXPIRING[model], **owner, expires_at=utc_now() + timedelta(days)))
    assert await delete_and_count(session_factory, model) == count
    assert await delete_and_count(session_factory, UserAccount) == 1


@pytest.mark.parametrize(("days", "count"), [(8, 0), (6, 1)])
async def test_sessions_that_were_not_used_are_deleted(
    ada: UserAccount, session_factory: SessionFactory, days: int, count: int
) -> None:
    now = utc_now()
    async with session_factory.begin() as session:
        session.add(
            UserSession(
                user_id=ada.id,
                token_hash="x",  # noqa: S106
                expires_at=now + timedelta(1),
                last_seen_at=now - timedelta(days),
            )
        )
    assert await delete_and_count(session_factory, UserSession) == count


@pytest.mark.parametrize(("hours", "count"), [(25, 0), (23, 1)])
async def test_counts_that_are_forgotten_are_deleted(
    session_factory: SessionFactory, hours: int, count: int
) -> None:
    then = utc_now() - timedelta(hours=hours)
    async with session_factory.begin() as session:
        session.add(UserThrottle(key_hash="x", attempts=1, retry_at=then, updated_at=then))
    assert await delete_and_count(session_factory, UserThrottle) == count


@pytest.mark.parametrize(
    ("minutes", "is_confirmed", "count"), [(11, False, 0), (9, False, 1), (11, True, 1)]
)
async def test_apps_that_were_not_confirmed_are_deleted(
    ada: UserAccount,
    session_factory: SessionFactory,
    minutes: int,
    is_confirmed: bool,
    count: int,
) -> None:
    then = utc_now() - timedelta(minutes=minutes)
    async with session_factory.begin() as session:
        session.add(
            UserTOTP(
                user_id=ada.id,
                encrypted_secret="x",  # noqa: S106
                created_at=then,
                confirmed_at=then if is_confirmed else None,
            )
        )
    assert await delete_and_count(session_factory, UserTOTP) == count


async def test_expired_rows_are_deleted_in_batches(
    ada: UserAccount,
    session_factory: SessionFactory,
    jobs: JobRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expired_rows, "BATCH", 2)
    now = utc_now()
    past, future, long_ago = now - timedelta(1), now + timedelta(1), now - timedelta(8)
    async with session_factory.begin() as session:
        for number, (expires_at, seen_at) in enumerate(
            [(future, now), *[(past, now)] * 4, (future, long_ago)]
        ):
            session.add(
                UserSession(
                    user_id=ada.id,
                    token_hash=str(number),
                    expires_at=expires_at,
                    last_seen_at=seen_at,
                )
            )
        for number, expires_at in enumerate([future, past]):
            session.add(
                UserToken(token_hash=str(number), purpose="x", email="x@y", expires_at=expires_at)
            )
        for key, updated_at in {"new": now, "old": long_ago}.items():
            session.add(
                UserThrottle(key_hash=key, attempts=1, retry_at=updated_at, updated_at=updated_at)
            )
        await enqueue(session, delete_expired)
    ran = await jobs.run()
    async with session_factory() as session:
        for model in (UserSession, UserToken, UserThrottle, UserAccount):
            assert await session.scalar(select(func.count()).select_from(model)) == 1
    # Three batches of sessions: two full ones, and the rest.
    assert ran.count("users.delete_expired_rows") == len(TABLES) + 2


async def test_each_table_is_cleaned_by_a_job_of_its_own(
    session_factory: SessionFactory, jobs: JobRunner
) -> None:
    """One that fails keeps no other from being cleaned."""
    async with session_factory.begin() as session:
        await delete_expired(session)
    assert sorted(arguments["table"] for _, arguments in await jobs.waiting()) == sorted(TABLES)


def test_all_rows_that_expire_are_deleted() -> None:
    expiring = {
        name
        for name, table in Base.metadata.tables.items()
        if name.startswith("user_") and "expires_at" in table.columns
    }
    assert expiring < TABLES.keys()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_expired_rows_are_found_by_an_index(table: Table) -> None:
    indexed = {next(iter(index.columns)) for index in table.indexes}
    condition = CONDITIONS[table]()
    branches: list[ColumnElement[bool]] = [condition]
    if isinstance(condition, BooleanClauseList) and condition.operator is or_:
        branches = [*condition.clauses]
    for branch in branches:
        assert indexed & {*iterate(branch)}, f"{table}: no index for {branch}"


def test_expired_rows_are_deleted_every_day() -> None:
    assert SCHEDULES["users.delete_expired"].cron.split()[2:] == ["*", "*", "*"]
