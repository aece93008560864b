"""Rows that have expired are deleted."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.database import SessionFactory
from app.core.jobs.schedules import SCHEDULES
from app.core.models import Base, utc_now
from app.core.users import models
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
        await delete_expired(session)
        return await session.scalar(select(func.count()).select_from(model))


def test_all_tables_whose_rows_expire_are_listed() -> None:
    tables = [each for each in vars(models).values() if hasattr(each, "expires_at")]
    assert {*tables} == {*EXPIRING}


@pytest.mark.parametrize("model", EXPIRING, ids=lambda model: model.__name__)
@pytest.mark.parametrize(("days", "count"), [(-1, 0), (1, 1)])
async def test_expired_rows_are_deleted(
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


def test_expired_rows_are_deleted_every_day() -> None:
    assert SCHEDULES["users.delete_expired"].cron.split()[2:] == ["*", "*", "*"]
