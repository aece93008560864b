"""Schedules: jobs with a cron line are enqueued once per due time, however many workers run."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.core.database import Session, SessionFactory
from app.core.jobs.models import JobSchedule
from app.core.jobs.queue import enqueue
from app.core.jobs.registry import JOBS, Job
from app.core.models import utc_now


class Schedules:
    """The schedules of one worker, which remembers when the next one is due."""

    def __init__(self, sessions: SessionFactory) -> None:
        self.sessions = sessions
        self.due_at: dict[str, datetime] = {}

    async def enqueue_due(self) -> None:
        """Enqueue the jobs whose time has come; those missed while no worker ran, once."""
        for job in JOBS.values():
            if job.schedule and self.due_at.get(job.name, utc_now()) <= utc_now():
                # Another worker has just inserted the schedule.
                with suppress(IntegrityError):
                    async with self.sessions.begin() as session:
                        self.due_at[job.name] = await enqueue_if_due(session, job)


async def enqueue_if_due(session: Session, job: Job[Any]) -> datetime:
    """Enqueue a job if its schedule is due; return when it is due next."""
    now = utc_now()
    # Locked, so that another worker waits, and then sees the next due time.
    schedule = await session.get(JobSchedule, job.name, with_for_update=True)
    if schedule is None:
        schedule = JobSchedule(name=job.name, schedule=job.schedule, due_at=job.next_due(now))
        session.add(schedule)
    elif schedule.schedule != job.schedule:
        schedule.schedule, schedule.due_at = job.schedule, job.next_due(now)
    elif schedule.due_at <= now:
        await enqueue(session, job)
        schedule.due_at = job.next_due(now)
    return schedule.due_at
