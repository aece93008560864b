"""What `python -m app.worker status` prints."""

from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy import case, func, select

from app.core.database import Session
from app.core.jobs.models import QueuedJob
from app.core.jobs.registry import JOBS
from app.core.jobs.schedules import list_schedules
from app.core.models import utc_now

# Maximum number of running and of failed jobs that are listed.
MAX_LISTED = 20


async def overview(session: Session) -> AsyncIterator[str]:
    """Yield lines: the numbers of jobs by state, and those that run or failed."""
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
    for name, state_name, count, created_at in await session.execute(statement):
        yield f"{name:40} {state_name:8} {count:7}  {format_time(created_at)}{handler_note(name)}"
    running = select(QueuedJob).where(QueuedJob.worker.is_not(None)).order_by(QueuedJob.created_at)
    yield f"\n{'RUNNING':36} {'JOB':40} WORKER"
    for job in await session.scalars(running.limit(MAX_LISTED)):
        yield f"{job.id} {job.name:40} {job.worker}"
    failed = select(QueuedJob).where(QueuedJob.failed_at.is_not(None))
    yield f"\n{'FAILED':36} {'JOB':40} {'AT':20} ERROR"
    for job in await session.scalars(failed.order_by(QueuedJob.failed_at.desc()).limit(MAX_LISTED)):
        error = (job.error or "").partition("\n")[0]
        yield f"{job.id} {job.name:40} {format_time(job.failed_at)} {error}"
    async for scheduled in list_schedules(session):
        yield scheduled


def format_time(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%SZ") if when else ""


def handler_note(name: str) -> str:
    return "" if name in JOBS else " (no handler)"
