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
from tests.core.jobs.conftest import Working, until

CRON = "0 3 * * *"
LINE = f"{CRON} UTC"
DAY = timedelta(days=1)


@pytest.fixture
def report() -> Iterator[Job[[]]]:
    """A job that is due every day."""

    async def report(session: object) -> None: ...

    yield schedule(CRON)(job()(report))
    del JOBS["jobs.report"], SCHEDULES["jobs.report"]


def scheduler(sessions: SessionFactory, age: timedelta = timedelta()) -> Scheduler:
    """Return the scheduler of a worker that started some time ago."""
    created = Scheduler(sessions)
    created.started_at -= age
    return created


async def store(sessions: SessionFactory, handled_until: datetime, line: str = LINE) -> None:
    row = JobSchedule(name="jobs.report", schedule=line, handled_until=handled_until)
    async with sessions.begin() as session:
        session.add(row)


async def enqueued(sessions: SessionFactory) -> int:
    async with sessions() as session:
        return len([*await session.scalars(select(QueuedJob))])


async def test_new_schedules_wait_for_their_first_time(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    await scheduler(sessions).enqueue_due()
    assert await enqueued(sessions) == 0


async def test_times_between_the_start_and_the_first_check_are_not_skipped(
    sessions: SessionFactory, report: Job[[]]
) -> None:
    # The database was unavailable meanwhile.
    await scheduler(sessions, age=DAY).enqueue_due()
    assert await enqueued(sessions) == 1


async def test_missed_times_enqueue_one_job(sessions: SessionFactory, report: Job[[]]) -> None:
    await store(sessions, utc_now() - 3 * DAY)
    for _ in range(3):
        await scheduler(sessions).enqueue_due()
    assert await enqueued(sessions) == 1


async def test_concurrent_workers_enqueue_once(sessions: SessionFactory, report: Job[[]]) -> None:
    await store(sessions, utc_now() - DAY)
    await asyncio.gather(*(scheduler(sessions).enqueue_due() for _ in range(4)))
    assert await enqueued(sessions) == 1


async def test_workers_with_different_cron_lines_skip_no_time(
    sessions: SessionFactory, report: Job[[]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(sessions, utc_now() - DAY)
    # A new worker comes first.
    with monkeypatch.context() as patched:
        patched.setitem(SCHEDULES, "jobs.report", Schedule(report, "0 4 * * *", "UTC"))
        await scheduler(sessions).enqueue_due()
    assert await enqueued(sessions) == 0
    await scheduler(sessions, age=DAY).enqueue_due()
    assert await enqueued(sessions) == 1


async def test_an_error_of_one_schedule_stops_neither_others_nor_jobs(
    sessions: SessionFactory,
    working: Working,
    report: Job[[]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store(sessions, utc_now() - DAY)
    later = SCHEDULES.pop("jobs.report")
    monkeypatch.setitem(SCHEDULES, "jobs.broken", Schedule(report, "61 * * * *", "UTC"))
    SCHEDULES["jobs.report"] = later

    async def is_done() -> bool:
        async with sessions() as session:
            row = await session.get_one(JobSchedule, ("jobs.report", LINE))
        return row.handled_until > utc_now() - DAY / 2 and await enqueued(sessions) == 0

    async with working():
        await until(is_done)


async def test_overview_shows_when_jobs_are_due(sessions: SessionFactory, report: Job[[]]) -> None:
    handled_until = datetime(2026, 3, 28, 12, 30, tzinfo=UTC)
    await store(sessions, handled_until)
    await store(sessions, handled_until, "0 2 * * * UTC")
    async with sessions() as session:
        lines = [line async for line in overview(session)]
    assert sorted(line.split()[2:] for line in lines if line.startswith("jobs.")) == [
        ["2", "*", "*", "*", "UTC", "(no", "such", "schedule)"],
        ["3", "*", "*", "*", "UTC", "2026-03-29", "03:00:00Z"],
    ]


def test_schedules_follow_the_time_zone(report: Job[[]]) -> None:
    daily = Schedule(report, "0 3 * * *", "Europe/Berlin")
    # The clocks in Berlin go forward on 29 March 2026, an hour before this time.
    after = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert daily.next_due(after) == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize("cron", ["15 2 * * *", "59 2 * * *", "0,30 2 * * *", "*/7 * * * *"])
def test_the_next_time_is_in_the_future_while_clocks_go_back(report: Job[[]], cron: str) -> None:
    due = Schedule(report, cron, "Europe/Berlin")
    # The hour from 02:00 to 03:00 is repeated on 25 October 2026, at 01:00 in UTC.
    midnight = datetime(2026, 10, 25, tzinfo=UTC)
    for minute in range(180):
        after = midnight + timedelta(minutes=minute)
        assert due.next_due(after) > after


@pytest.mark.parametrize(
    ("cron", "time_zone", "error"),
    [
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 3 * * *", "Europe/Berln", "No time zone found"),
        (f"{CRON} " + "0" * 200, "UTC", "longer than 200 characters"),
    ],
)
def test_invalid_schedules_are_rejected(cron: str, time_zone: str, error: str) -> None:
    async def report(session: object) -> None: ...

    with pytest.raises(ValueError, match=rf"jobs\.report: invalid schedule .*{error}"):
        schedule(cron, time_zone)(Job("jobs.report", report, timeout=1, attempts=1))
    assert SCHEDULES == {}


def test_scheduled_handlers_with_arguments_are_rejected() -> None:
    async def report(session: object, name: str) -> None: ...

    with pytest.raises(ValueError, match=r"invalid schedule .*missing a required argument"):
        schedule(CRON)(Job("jobs.report", report, timeout=1, attempts=1))


def test_a_second_schedule_is_rejected(report: Job[[]]) -> None:
    with pytest.raises(TypeError, match=r"jobs\.report: already has a schedule; add a handler"):
        schedule("0 15 * * *")(report)


def test_a_schedule_below_the_job_is_rejected() -> None:
    async def report(session: object) -> None: ...

    with pytest.raises(TypeError, match="report: write @schedule above @job"):
        schedule(CRON)(report)  # type: ignore[arg-type]
