"""What `python -m app.worker status` prints: jobs, failed jobs and schedules."""

from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy import case, func, select

from app.core.database import Session
from app.core.jobs.models import JobSchedule, QueuedJob
from app.core.jobs.registry import JOBS
from app.core.models import utc_now

# Jobs that are listed one by one, of each state.
MAX_LISTED = 20


async def overview(session: Session) -> AsyncIterator[str]:
    """Yield lines: the numbers of jobs by state, running and failed jobs, and the schedules."""
    state = case(
        (QueuedJob.failed_at.is_not(None), "failed"),
        (QueuedJob.worker.is_not(None), "running"),
        (QueuedJob.attempts > 0, "retrying"),
        (QueuedJob.due_at > utc_now(), "delayed"),
        else_="waiting",
    ).label("state")
    statement = select(QueuedJob.name, state, func.count(), func.min(QueuedJob.created_at))
    statement = statement.group_by(QueuedJob.name, state).order_by(QueuedJob.name, state)
    yield f"{'JOB':40} {'STATE':8} {'COUNT':>7}  OLDEST"
    for name, text, count, created_at in await session.execute(statement):
        yield f"{name:40} {text:8} {count:7}  {show(created_at)}{note(name)}"
    running = select(QueuedJob).where(QueuedJob.worker.is_not(None)).order_by(QueuedJob.created_at)
    yield f"\n{'RUNNING':36} {'JOB':40} WORKER"
    for job in await session.scalars(running.limit(MAX_LISTED)):
        yield f"{job.id} {job.name:40} {job.worker}"
    failed = select(QueuedJob).where(QueuedJob.failed_at.is_not(None))
    yield f"\n{'FAILED':36} {'JOB':40} {'AT':20} ERROR"
    for job in await session.scalars(failed.order_by(QueuedJob.failed_at.desc()).limit(MAX_LISTED)):
        error = (job.error or "").partition("\n")[0]
        yield f"{job.id} {job.name:40} {show(job.failed_at)} {error}"
    yield f"\n{'SCHEDULE':40} {'CRON':30} NEXT"
    for schedule in await session.scalars(select(JobSchedule).order_by(JobSchedule.name)):
        yield f"{schedule.name:40} {schedule.cron:30} {show(schedule.due_at)}{note(schedule.name)}"


def show(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%SZ") if when else ""


def note(name: str) -> str:
    return "" if name in JOBS else " (no handler)"
