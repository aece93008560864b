"""An attempt of a job: its handler in a transaction, and what follows if that fails."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars

from app.core.database import LOCKS_ROWS, SessionFactory
from app.core.driver_errors import describe
from app.core.jobs.models import Claim
from app.core.jobs.queue import ClaimLostError, finish, put_back
from app.core.jobs.registry import CURRENT_JOB, JOBS, CurrentJob, PermanentError
from app.core.jobs.settings import JobsSettings
from app.core.jobs.telemetry import measured
from app.core.models import utc_now

logger = structlog.get_logger("app.jobs")

# Time limit for putting a job back, in seconds; after that, the job waits until its lease ends.
TIMEOUT = 30
# Maximum number of characters of an error that are stored.
ERROR_LENGTH = 2000


class WorkerDiedError(Exception):
    """The worker that had claimed the job died, or lost its lease."""


@measured
async def run_job(claimed: Claim, sessions: SessionFactory, settings: JobsSettings) -> str:
    """Run a claimed job; if its handler fails, put it back for a retry, or as failed.

    Returns the outcome: done, lost, retried or failed.
    """
    bind_contextvars(job=claimed.name, job_id=str(claimed.id), attempt=claimed.attempt)
    if claimed.request_id:
        bind_contextvars(request_id=claimed.request_id)
    try:
        if claimed.last_worker:
            raise WorkerDiedError("the worker that had claimed the job died, or lost its lease")
        await run_handler(claimed, sessions)
    except ClaimLostError:
        logger.warning("job rolled back: it was cancelled, or another worker has claimed it")
        return "lost"
    # A handler also raises CancelledError if it awaits a task that was cancelled, and SystemExit
    # for invalid settings.
    except (Exception, asyncio.CancelledError, SystemExit) as error:
        if (task := asyncio.current_task()) and task.cancelling():
            # A library may have replaced the CancelledError by one of its own.
            raise asyncio.CancelledError from error
        return await _retry_or_fail(claimed, sessions, settings, error)
    logger.info("job done")
    return "done"


async def release(claimed: Claim, sessions: SessionFactory) -> None:
    """Put a job back as it was before it was claimed, to be run at once."""
    await _put_back(sessions, claimed, due_at=utc_now(), attempts=claimed.attempt - 1)


async def run_handler(claimed: Claim, sessions: SessionFactory) -> None:
    """Run the handler of a job, and delete the job in its transaction.

    Raises what the handler raises, TimeoutError, or ClaimLostError; nothing is committed then.
    """
    job = JOBS[claimed.name]
    CURRENT_JOB.set(CurrentJob(claimed.id, claimed.name, claimed.attempt))
    session = sessions()
    # Lock the rows that it reads, as a retried request does: see app.core.middleware.retries.
    session.info[LOCKS_ROWS] = claimed.attempt > 1
    try:
        async with asyncio.timeout(job.timeout):
            next_step = await job(session, **claimed.arguments)
            await session.run_sync(finish, claimed, next_step)
    finally:
        if session.in_transaction():
            # The connection of a cancelled job returns to the pool, too.
            await asyncio.shield(session.close())


async def _retry_or_fail(
    claimed: Claim, sessions: SessionFactory, settings: JobsSettings, error: BaseException
) -> str:
    job = JOBS[claimed.name]
    message = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
    # PostgreSQL stores neither NUL nor lone surrogates.
    message = message.replace("\0", "").encode(errors="replace").decode()
    # The claim that found a dead worker is no attempt of its own.
    attempt = claimed.attempt - 1 if isinstance(error, WorkerDiedError) else claimed.attempt
    if attempt >= job.attempts or isinstance(error, PermanentError):
        logger.error("job failed", attempt=attempt, exc_info=error)
        values = {"due_at": None, "failed_at": utc_now()}
        outcome = "failed"
    else:
        wait = min(settings.retry_wait * 2 ** min(attempt - 1, 60), settings.retry_max_wait)
        # Jobs that failed together are not retried together: one may have killed the worker.
        seconds = wait * random.uniform(0.5, 1)  # noqa: S311
        logger.warning(
            "job failed and will be retried",
            attempt=attempt,
            seconds=round(seconds, 3),
            exc_info=error,
        )
        values = {"due_at": utc_now() + timedelta(seconds=seconds)}
        outcome = "retried"
    await _put_back(sessions, claimed, attempts=attempt, error=message, **values)
    return outcome


async def _put_back(sessions: SessionFactory, claimed: Claim, **values: Any) -> None:
    try:
        async with asyncio.timeout(TIMEOUT), sessions() as session:
            if not await put_back(session, claimed, **values):
                # Such as one whose commit succeeded after its timeout.
                logger.warning("job not put back: it was completed, cancelled, or claimed again")
    except Exception as error:
        logger.warning("job not put back: its lease will end", **describe(error))
