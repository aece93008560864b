"""The worker: claims jobs that are due, and runs each in a session and a transaction of its own."""

import asyncio
import os
import random
import socket
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.contextvars import bind_contextvars

from app.core.database import LOCKS_ROWS, SessionFactory, create_session_factory
from app.core.driver_errors import describe
from app.core.jobs import wakeups
from app.core.jobs.messages import Inbox
from app.core.jobs.queue import Claim, ClaimLostError, claim, finish, put_back, renew
from app.core.jobs.registry import CURRENT_JOB, JOBS, CurrentJob, Job, PermanentError
from app.core.jobs.schedules import Schedules
from app.core.jobs.settings import JobsSettings
from app.core.jobs.telemetry import measure
from app.core.models import utc_now

logger = structlog.get_logger("app.jobs")

# Jobs that are claimed ahead at most, for each job that runs.
MAX_AHEAD = 4
# Characters of an error that are stored.
ERROR_LENGTH = 2000


class WorkerDiedError(Exception):
    """The last claim of the job was not ended by its worker."""


class Worker:
    """Runs jobs until it is stopped; any number of workers may run, on any number of machines."""

    def __init__(self, engine: AsyncEngine, settings: JobsSettings) -> None:
        self.engine = engine
        self.settings = settings
        self.sessions = create_session_factory(engine)
        self.schedules = Schedules(self.sessions)
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.running: dict[asyncio.Task[str], Claim] = {}
        self.slots = asyncio.Semaphore(settings.concurrency)
        # Since jobs were last claimed.
        self.ended = 0
        self.wake = asyncio.Event()
        self.inbox = Inbox(settings, self.wake.set) if settings.broker_url else None
        self.is_stopping = False

    def stop(self) -> None:
        """Claim no more jobs, so that `run` returns; a second call cancels those that run."""
        if self.is_stopping:
            for task in self.running:
                task.cancel()
        self.is_stopping = True
        self.wake.set()

    async def run(self) -> None:
        """Run jobs until `stop` is called; a database that fails is waited for."""
        background = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._renew_leases()),
        ]
        try:
            while not self.is_stopping:
                self.wake.clear()
                if await self._claim_jobs():
                    self._record_health()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), self.settings.poll_interval)
            if self.running:
                await asyncio.wait(self.running, timeout=self.settings.shutdown_timeout)
        finally:
            for task in [*self.running, *background]:
                task.cancel()
            await asyncio.gather(*self.running, *background, return_exceptions=True)

    async def _listen(self) -> None:
        if self.inbox:
            await self.inbox.receive()
        else:
            await wakeups.listen(self.engine, self.wake.set)

    async def _claim_jobs(self) -> bool:
        """Start jobs that are due; return False if the database fails."""
        try:
            await self.schedules.enqueue_due()
            if free := self._count_free():
                self.ended = 0
                async with self.sessions() as session:
                    await session.connection(execution_options=wakeups.CLAIM_OPTIONS)
                    lease = self.settings.lease
                    named = self.inbox.take(free) if self.inbox else []
                    running = {claimed.id for claimed in self.running.values()}
                    claims = await claim(session, JOBS, free, self.name, lease, named, running)
                for claimed in claims:
                    self._start(claimed)
        except Exception as error:
            # While it connects, the driver's own errors, too.
            logger.warning("no jobs claimed: the database failed", **describe(error))
            return False
        return True

    def _count_free(self) -> int:
        """Return how many jobs to claim: of short ones, as many more as have ended meanwhile."""
        concurrency = self.settings.concurrency
        free = concurrency - len(self.running)
        return 0 if free < 0 else free + min(self.ended, MAX_AHEAD * concurrency)

    def _start(self, claimed: Claim) -> None:
        task = asyncio.create_task(run_job(claimed, self.sessions, self.settings, self.slots))
        self.running[task] = claimed
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[str]) -> None:
        del self.running[task]
        self.ended += 1
        if len(self.running) <= self.settings.concurrency:
            self.wake.set()

    async def _renew_leases(self) -> None:
        """Extend the leases of running jobs, and cancel those that were cancelled or lost."""
        while True:
            await asyncio.sleep(self.settings.lease / 3)
            running = [*self.running.items()]
            try:
                async with self.sessions() as session:
                    claims = [claimed for _, claimed in running]
                    left = await renew(session, claims, self.name, self.settings.lease)
            except Exception as error:
                logger.warning("leases not renewed: the database failed", **describe(error))
                continue
            for task, claimed in running:
                if claimed.id not in left:
                    task.cancel()

    def _record_health(self) -> None:
        if self.settings.health_file:
            self.settings.health_file.touch()


async def run_job(
    claimed: Claim, sessions: SessionFactory, settings: JobsSettings, slots: asyncio.Semaphore
) -> str:
    """Run a claimed job in one of the slots, and return its outcome: done, lost, retried or failed.

    If it fails, it is put back with its error: for a retry, or for `requeue` after the last one. If
    it is cancelled, it is put back as it was.
    """
    job = JOBS[claimed.name]
    bind_contextvars(job=claimed.name, job_id=str(claimed.id), attempt=claimed.attempt)
    if claimed.request_id:
        bind_contextvars(request_id=claimed.request_id)
    with measure(claimed) as measured:
        try:
            if claimed.last_worker:
                raise WorkerDiedError("the worker that ran the job died, or lost its lease")
            async with slots:
                await run_handler(claimed, sessions)
        except ClaimLostError:
            logger.warning("job rolled back: it was cancelled, or another worker has claimed it")
            outcome = "lost"
        except (Exception, asyncio.CancelledError) as error:
            # A handler raises CancelledError, too, if it awaits a task that was cancelled.
            if (task := asyncio.current_task()) and task.cancelling():
                await _put_back(sessions, claimed, due_at=utc_now(), attempts=claimed.attempt - 1)
                raise
            outcome = await _retry_or_fail(job, claimed, sessions, settings, error)
        else:
            logger.info("job done")
            outcome = "done"
        measured["outcome"] = outcome
    return outcome


async def run_handler(claimed: Claim, sessions: SessionFactory) -> None:
    """Run the handler of a job, and delete the job in its transaction.

    Raises what the handler raises, TimeoutError, or ClaimLostError; nothing is committed then.
    """
    job = JOBS[claimed.name]
    CURRENT_JOB.set(CurrentJob(claimed.id, claimed.name, claimed.attempt))
    session = sessions()
    # As a request that is retried does: see app.core.middleware.retries.
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
    job: Job[Any],
    claimed: Claim,
    sessions: SessionFactory,
    settings: JobsSettings,
    error: BaseException,
) -> str:
    message = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
    # Neither can be stored.
    message = message.replace("\0", "").encode(errors="replace").decode()
    # Not yet the attempt of this claim.
    attempt = claimed.attempt - isinstance(error, WorkerDiedError)
    if attempt >= job.attempts or isinstance(error, PermanentError):
        logger.error("job failed", exc_info=error)
        values = {"due_at": None, "failed_at": utc_now()}
        outcome = "failed"
    else:
        wait = min(settings.retry_wait * 2 ** (attempt - 1), settings.retry_max_wait)
        # Jobs that failed together are not retried together: one may have killed the worker.
        seconds = wait * random.uniform(0.5, 1)  # noqa: S311
        logger.warning("job failed and will be retried", seconds=round(seconds, 3), exc_info=error)
        values = {"due_at": utc_now() + timedelta(seconds=seconds)}
        outcome = "retried"
    await _put_back(sessions, claimed, attempts=attempt, error=message, **values)
    return outcome


async def _put_back(sessions: SessionFactory, claimed: Claim, **values: Any) -> None:
    try:
        async with sessions() as session:
            await put_back(session, claimed, **values)
    except Exception as error:
        logger.warning("job not put back: its lease will end", **describe(error))
