"""Schedules: jobs with a cron line are enqueued once per due time, however many workers run."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.core.database import Session, SessionFactory
from app.core.jobs.models import JobSchedule
from app.core.jobs.queue import enqueue
from app.core.jobs.registry import Job, P
from app.core.models import utc_now


@dataclass(frozen=True)
class Schedule:
    """A job, and when to enqueue it."""

    job: Job[Any]
    cron: str
    time_zone: str

    def __str__(self) -> str:
        return f"{self.cron} {self.time_zone}"

    def next_due(self, after: datetime) -> datetime:
        """Return the first time after another at which the cron line is due."""
        return next(CronSim(self.cron, after.astimezone(ZoneInfo(self.time_zone))))


SCHEDULES: dict[str, Schedule] = {}


def schedule(cron: str, time_zone: str = "UTC") -> Callable[[Job[P]], Job[P]]:
    """Enqueue a job whenever a cron line is due in a time zone.

    Raises ValueError for an invalid cron line or time zone, or if the handler needs arguments.
    """

    def register(job: Job[P]) -> Job[P]:
        added = Schedule(job, cron, time_zone)
        try:
            added.next_due(utc_now())
            added.job.arguments()
        # An unknown time zone is a KeyError, a handler that needs arguments a TypeError.
        except (CronSimError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{job.name}: invalid schedule '{added}': {error}") from None
        SCHEDULES[job.name] = added
        return job

    return register


class Scheduler:
    """Enqueues the scheduled jobs of one worker, which remembers when the next one is due."""

    def __init__(self, sessions: SessionFactory) -> None:
        self.sessions = sessions
        self.started_at = utc_now()
        self.due_at: dict[str, datetime] = {}

    async def enqueue_due(self) -> None:
        """Enqueue the jobs whose time has come; those missed while no worker ran, once."""
        for name, scheduled in SCHEDULES.items():
            if self.due_at.get(name, self.started_at) <= utc_now():
                # Another worker has just inserted the schedule.
                with suppress(IntegrityError):
                    async with self.sessions.begin() as session:
                        due_at = await self._enqueue_if_due(session, scheduled)
                    self.due_at[name] = due_at

    async def _enqueue_if_due(self, session: Session, scheduled: Schedule) -> datetime:
        """Return when the job is due next."""
        now = utc_now()
        name = scheduled.job.name
        # Locked, so that another worker waits, and then sees what this one has enqueued.
        row = await session.get(JobSchedule, name, with_for_update=True)
        if row is None:
            row = JobSchedule(name=name, schedule=str(scheduled), enqueued_until=now)
            session.add(row)
        elif row.schedule != str(scheduled):
            # While workers with another cron line still run, the row has theirs in turn: neither
            # may skip a time of the other.
            row.schedule = str(scheduled)
            row.enqueued_until = max(row.enqueued_until, self.started_at)
        if scheduled.next_due(row.enqueued_until) <= now:
            await enqueue(session, scheduled.job)
            row.enqueued_until = now
        return scheduled.next_due(row.enqueued_until)


async def list_schedules(session: Session) -> AsyncIterator[str]:
    """Yield lines of the overview: the schedules, and when each is due next."""
    yield f"\n{'SCHEDULED JOB':40} {'SCHEDULE':30} NEXT"
    for row in await session.scalars(select(JobSchedule).order_by(JobSchedule.name)):
        scheduled = SCHEDULES.get(row.name)
        due_at = scheduled and scheduled.next_due(row.enqueued_until).astimezone(UTC)
        when = f"{due_at:%Y-%m-%d %H:%M:%SZ}" if due_at else "(no schedule)"
        yield f"{row.name:40} {row.schedule:30} {when}"
