import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.core.database import SessionFactory
from app.core.jobs.models import JobSchedule, QueuedJob
from app.core.jobs.registry import JOBS, Job, job
from app.core.jobs.schedules import Schedules, enqueue_if_due
from app.core.models import utc_now

SCHEDULE = "0 3 * * * Europe/Berlin"
ONE_HOUR = timedelta(hours=1)


@pytest.fixture
def report() -> Iterator[Job[[]]]:
    async def report(session: object) -> None: ...

    yield job(cron="0 3 * * *", time_zone="Europe/Berlin")(report)
    JOBS.pop("jobs.report")


async def add_schedule(
    sessions: SessionFactory, due_at: datetime, schedule: str = SCHEDULE
) -> None:
    async with sessions.begin() as session:
        session.add(JobSchedule(name="jobs.report", schedule=schedule, due_at=due_at))


async def enqueued(sessions: SessionFactory) -> int:
    async with sessions() as session:
        return len([*await session.scalars(select(QueuedJob))])


async def next_due(sessions: SessionFactory) -> datetime:
    async with sessions() as session:
        return (await session.get_one(JobSchedule, "jobs.report")).due_at


async def test_new_schedules_wait_for_their_first_time(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    await Schedules(sessions).enqueue_due()
    assert await enqueued(sessions) == 0
    assert await next_due(sessions) > utc_now()


async def test_missed_times_are_made_up_for_once(sessions: SessionFactory, report: Job[[]]) -> None:
    await add_schedule(sessions, utc_now() - timedelta(days=3))
    for _ in range(3):
        await Schedules(sessions).enqueue_due()
    assert await enqueued(sessions) == 1
    assert await next_due(sessions) > utc_now()


async def test_concurrent_workers_enqueue_once(sessions: SessionFactory, report: Job[[]]) -> None:
    await add_schedule(sessions, utc_now() - ONE_HOUR)
    await asyncio.gather(*(Schedules(sessions).enqueue_due() for _ in range(4)))
    assert await enqueued(sessions) == 1


async def test_a_changed_schedule_waits_for_its_next_time(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    await add_schedule(sessions, utc_now() - ONE_HOUR, schedule="* * * * * UTC")
    async with sessions.begin() as session:
        await enqueue_if_due(session, report)
    assert await enqueued(sessions) == 0
    assert await next_due(sessions) > utc_now()


def test_schedules_follow_the_time_zone(report: Job[[]]) -> None:
    # The clocks in Berlin go forward on 29 March 2026, an hour before this time.
    assert report.next_due(datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(
        2026, 3, 29, 1, tzinfo=UTC
    )
