"""Schedules: jobs are enqueued once for each due time of a cron expression, by any worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim, CronSimError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.core.database import Session, SessionFactory
from app.core.driver_errors import describe
from app.core.jobs.models import JobSchedule
from app.core.jobs.queue import enqueue
from app.core.jobs.registry import Job, P
from app.core.models import utc_now

logger = structlog.get_logger("app.jobs")

# Length of the column.
MAX_LENGTH = 200
# Time limit for one schedule, in seconds; the worker claims no jobs meanwhile.
TIMEOUT = 5


@dataclass(frozen=True)
class Schedule:
    """A job, and when to enqueue it."""

    job: Job[Any]
    cron: str
    time_zone: str

    def __str__(self) -> str:
        return f"{self.cron} {self.time_zone}"

    def next_due(self, after: datetime) -> datetime:
        """Return the first time after another at which the cron expression is due.

        Raises ValueError if there is none.
        """
        local = after.astimezone(ZoneInfo(self.time_zone))
        for due in CronSim(self.cron, local):
            # When clocks go back, the first result can be up to an hour before `after`.
            if (due_at := due.astimezone(UTC)) > after:
                return due_at
        raise ValueError("never due")


SCHEDULES: dict[str, Schedule] = {}


def schedule(cron: str, time_zone: str = "UTC") -> Callable[[Job[P]], Job[P]]:
    """Enqueue a job whenever a cron expression is due in a time zone.

    Raises ValueError for an invalid expression or time zone, or if the handler needs arguments, and
    TypeError for a second schedule of a job, or for a function that is not a job.
    """

    def register(job: Job[P]) -> Job[P]:
        if not isinstance(job, Job):
            raise TypeError(f"{job.__name__}: write @schedule above @job")
        if job.name in SCHEDULES:
            raise TypeError(f"{job.name}: already has a schedule; add a handler for another")
        added = Schedule(job, cron, time_zone)
        try:
            added.next_due(utc_now())
            added.job.arguments()
            if len(str(added)) > MAX_LENGTH:
                raise ValueError(f"longer than {MAX_LENGTH} characters")
        # An unknown time zone is a KeyError, a handler that needs arguments a TypeError.
        except (CronSimError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{job.name}: invalid schedule '{added}': {error}") from None
        SCHEDULES[job.name] = added
        return job

    return register


class Scheduler:
    """Enqueues the scheduled jobs of one worker, which remembers when each is due next."""

    def __init__(self, sessions: SessionFactory) -> None:
        self.sessions = sessions
        self.started_at = utc_now()
        self.due_at: dict[str, datetime] = {}

    async def enqueue_due(self) -> None:
        """Enqueue the jobs whose time has come; those missed while no worker ran, once.

        An error of one schedule is logged, and delays no other one.
        """
        for name, scheduled in SCHEDULES.items():
            if self.due_at.get(name, self.started_at) > utc_now():
                continue
            try:
                async with asyncio.timeout(TIMEOUT), self.sessions.begin() as session:
                    due_at = await self._enqueue_if_due(session, scheduled)
            except IntegrityError:
                # Another worker has just inserted the row, which the next poll reads.
                continue
            except Exception as error:
                logger.warning("schedule not checked", job=name, **describe(error))
                continue
            self.due_at[name] = due_at

    async def _enqueue_if_due(self, session: Session, scheduled: Schedule) -> datetime:
        """Return when the job is due next."""
        now = utc_now()
        key = (scheduled.job.name, str(scheduled))
        # Locked, so that another worker waits, and then sees what this one has enqueued.
        row = await session.get(JobSchedule, key, with_for_update=True)
        if row is None:
            row = JobSchedule(name=key[0], schedule=key[1], handled_until=self.started_at)
            session.add(row)
        if scheduled.next_due(row.handled_until) <= now:
            await enqueue(session, scheduled.job)
            row.handled_until = now
        return scheduled.next_due(row.handled_until)


async def list_schedules(session: Session) -> AsyncIterator[str]:
    """Yield lines of the overview: the schedules, and when each is due next."""
    yield f"\n{'SCHEDULED JOB':40} {'SCHEDULE':30} NEXT"
    rows = await session.scalars(select(JobSchedule).order_by(JobSchedule.name))
    for row in rows:
        scheduled = SCHEDULES.get(row.name)
        is_current = scheduled is not None and str(scheduled) == row.schedule
        due_at = scheduled.next_due(row.handled_until) if scheduled and is_current else None
        when = f"{due_at:%Y-%m-%d %H:%M:%SZ}" if due_at else "(no such schedule)"
        yield f"{row.name:40} {row.schedule:30} {when}"
