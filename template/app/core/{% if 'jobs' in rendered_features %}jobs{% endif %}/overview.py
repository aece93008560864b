"""What `python -m app.worker status` prints: jobs, failed jobs and schedules."""

from collections.abc import AsyncIterator
from datetime import datetime

from sqlalchemy import case, func, select

from app.core.database import Session
from app.core.jobs.models import JobSchedule, QueuedJob
from app.core.jobs.registry import JOBS
from app.core.models import utc_now

MAX_FAILED = 20


async def overview(session: Session) -> AsyncIterator[str]:
    """Yield lines: how many jobs wait, run and failed, the last failed ones, and the schedules."""
    state = case(
        (QueuedJob.failed_at.is_not(None), "failed"),
        (QueuedJob.worker.is_not(None), "running"),
        (QueuedJob.due_at > utc_now(), "delayed"),
        else_="waiting",
    ).label("state")
    statement = select(QueuedJob.name, state, func.count(), func.min(QueuedJob.due_at))
    yield f"{'JOB':40} {'STATE':10} {'COUNT':>7}  DUE SINCE"
    for name, *values, since in await session.execute(
        statement.group_by(QueuedJob.name, state).order_by(QueuedJob.name, state)
    ):
        note = "" if name in JOBS else "  (no handler)"
        yield f"{name:40} {values[0]:10} {values[1]:7}  {show(since)}{note}"
    failed = select(QueuedJob).where(QueuedJob.failed_at.is_not(None))
    yield f"\n{'FAILED':36}  {'JOB':40} {'AT':20}  ERROR"
    for job in await session.scalars(failed.order_by(QueuedJob.failed_at.desc()).limit(MAX_FAILED)):
        error = (job.error or "").splitlines()[0]
        yield f"{job.id}  {job.name:40} {show(job.failed_at)}  {error}"
    yield f"\n{'SCHEDULE':40} {'CRON':20}  NEXT"
    for schedule in await session.scalars(select(JobSchedule).order_by(JobSchedule.name)):
        yield f"{schedule.name:40} {schedule.cron:20}  {show(schedule.due_at)}"


def show(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%SZ") if when else ""
