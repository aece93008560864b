import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app.core.database import SessionFactory
from app.core.jobs import schedule
from app.core.jobs.models import JobSchedule, QueuedJob
from app.core.jobs.overview import overview
from app.core.jobs.registry import JOBS, Job, job
from app.core.jobs.schedules import SCHEDULES, Schedule, Scheduler
from app.core.models import utc_now

ONE_HOUR = timedelta(hours=1)
CRON = "0 * * * *"


@pytest.fixture
def report() -> Iterator[Job[[]]]:
    """A job that is due every hour."""

    async def report(session: object) -> None: ...

    yield schedule(CRON)(job()(report))
    del JOBS["jobs.report"], SCHEDULES["jobs.report"]


async def store(
    sessions: SessionFactory, enqueued_until: datetime, schedule: str = f"{CRON} UTC"
) -> None:
    async with sessions.begin() as session:
        session.add(
            JobSchedule(name="jobs.report", schedule=schedule, enqueued_until=enqueued_until)
        )


async def enqueued(sessions: SessionFactory) -> int:
    async with sessions() as session:
        return len([*await session.scalars(select(QueuedJob))])


async def test_new_schedules_wait_for_their_first_time(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    await Scheduler(sessions).enqueue_due()
    assert await enqueued(sessions) == 0


async def test_missed_times_are_made_up_for_once(sessions: SessionFactory, report: Job[[]]) -> None:
    await store(sessions, utc_now() - timedelta(days=3))
    for _ in range(3):
        await Scheduler(sessions).enqueue_due()
    assert await enqueued(sessions) == 1


async def test_concurrent_workers_enqueue_once(sessions: SessionFactory, report: Job[[]]) -> None:
    await store(sessions, utc_now() - ONE_HOUR)
    await asyncio.gather(*(Scheduler(sessions).enqueue_due() for _ in range(4)))
    assert await enqueued(sessions) == 1


async def test_a_changed_schedule_waits_for_its_next_time(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    await store(sessions, utc_now() - ONE_HOUR, schedule="0 3 * * * UTC")
    for _ in range(2):
        await Scheduler(sessions).enqueue_due()
    assert await enqueued(sessions) == 0


async def test_workers_with_different_cron_lines_skip_no_time(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    scheduler = Scheduler(sessions)
    scheduler.started_at = utc_now() - 2 * ONE_HOUR
    # An old worker has come after this one.
    await store(sessions, utc_now() - ONE_HOUR, schedule="* * * * * UTC")
    await scheduler.enqueue_due()
    assert await enqueued(sessions) == 1


async def test_overview_shows_when_jobs_are_due(sessions: SessionFactory, report: Job[[]]) -> None:
    enqueued_until = datetime(2026, 3, 28, 12, 30, tzinfo=UTC)
    await store(sessions, enqueued_until)
    async with sessions.begin() as session:
        session.add(
            JobSchedule(name="jobs.old", schedule="* * * * *", enqueued_until=enqueued_until)
        )
    async with sessions() as session:
        lines = [line async for line in overview(session)]
    assert [line.split()[6:] for line in lines if line.startswith("jobs.")] == [
        ["(no", "schedule)"],
        ["UTC", "2026-03-28", "13:00:00Z"],
    ]


def test_schedules_follow_the_time_zone(report: Job[[]]) -> None:
    daily = Schedule(report, "0 3 * * *", "Europe/Berlin")
    # The clocks in Berlin go forward on 29 March 2026, an hour before this time.
    after = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert daily.next_due(after) == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "time_zone", "error"),
    [
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 3 * * *", "Europe/Berln", "No time zone found"),
    ],
)
def test_invalid_schedules_are_rejected(
    report: Job[[]], cron: str, time_zone: str, error: str
) -> None:
    with pytest.raises(ValueError, match=rf"jobs\.report: invalid schedule .*{error}"):
        schedule(cron, time_zone)(report)
    assert str(SCHEDULES["jobs.report"]) == f"{CRON} UTC"


def test_scheduled_handlers_with_arguments_are_rejected() -> None:
    async def report(session: object, name: str) -> None: ...

    with pytest.raises(ValueError, match=r"invalid schedule .*missing a required argument"):
        schedule(CRON)(Job("jobs.report", report, timeout=1, attempts=1))
