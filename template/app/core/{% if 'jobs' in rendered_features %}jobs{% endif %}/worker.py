"""The worker: claims jobs that are due, and runs each in a session and a transaction of its own."""

import asyncio
import os
import socket
from contextlib import suppress
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import create_session_factory
from app.core.driver_errors import describe
from app.core.jobs import wakeups
from app.core.jobs.attempts import release, run_job
from app.core.jobs.broker.messages import open_inbox
from app.core.jobs.models import Claim
from app.core.jobs.queue import claim, renew
from app.core.jobs.registry import JOBS
from app.core.jobs.schedules import Scheduler
from app.core.jobs.settings import JobsSettings

logger = structlog.get_logger("app.jobs")

# Jobs that a worker claims ahead at most, per slot: one claim for several short jobs.
MAX_AHEAD = 4


class Worker:
    """Runs jobs until it is stopped; any number of workers may run, on any number of machines."""

    def __init__(self, engine: AsyncEngine, settings: JobsSettings) -> None:
        self.engine = engine
        self.settings = settings
        wakeups.prepare(engine)
        self.sessions = create_session_factory(engine)
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.running: dict[asyncio.Task[None], Claim] = {}
        # The ids of those that are claimed ahead, and wait for a slot.
        self.waiting: set[UUID] = set()
        self.slots = asyncio.Semaphore(settings.concurrency)
        # Jobs that have ended since the last claim: about as many will end before the next one.
        self.ended = 0
        self.wake = asyncio.Event()
        self.scheduler = Scheduler(self.sessions)
        self.inbox = open_inbox(settings, self.wake.set)
        self.is_stopping = False

    def stop(self) -> None:
        """Start no more jobs, so that `run` returns; a second call cancels those that run."""
        for task, claimed in self.running.items():
            if self.is_stopping or claimed.id in self.waiting:
                _cancel(task)
        self.is_stopping = True
        self.wake.set()

    async def run(self) -> None:
        """Run jobs until `stop` is called; wait while the database is unavailable."""
        background = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._renew_leases()),
        ]
        try:
            while not self.is_stopping:
                self.wake.clear()
                await self.scheduler.enqueue_due()
                if await self._claim_jobs():
                    self._touch_health_file()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), self.settings.poll_interval)
            if self.running:
                await asyncio.wait(self.running, timeout=self.settings.shutdown_timeout)
        finally:
            for task in [*self.running, *background]:
                _cancel(task)
            await asyncio.gather(*self.running, *background, return_exceptions=True)

    async def _listen(self) -> None:
        """Wake up for new jobs, until this is cancelled."""
        if self.inbox:
            return await self.inbox.receive()
        await wakeups.listen(self.engine, self.wake.set)

    def _touch_health_file(self) -> None:
        try:
            if self.settings.health_file:
                self.settings.health_file.touch()
        except OSError as error:
            logger.warning("health file not touched", error=str(error))

    async def _claim_jobs(self) -> bool:
        """Start jobs that are due; return False if the database could not be asked."""
        try:
            # Servers cannot limit the time of a connection that is dead.
            async with asyncio.timeout(self.settings.lease):
                if limit := self._claim_limit():
                    self.ended = 0
                    await self._claim(limit)
        except Exception as error:
            # Any exception: while it connects, a driver raises its own.
            logger.warning("no jobs claimed", **describe(error))
            return False
        return True

    async def _claim(self, limit: int) -> None:
        async with self.sessions() as session:
            claims = await claim(
                session,
                JOBS,
                limit,
                self.name,
                self.settings.lease,
                running={claimed.id for claimed in self.running.values()},
                named=self.inbox.take(limit) if self.inbox else [],
            )
        for claimed in claims:
            if self.is_stopping:
                await release(claimed, self.sessions)
            else:
                self._start(claimed)

    def _claim_limit(self) -> int:
        """Return how many jobs to claim: one per free slot, and as many as have just ended."""
        concurrency = self.settings.concurrency
        free = concurrency - len(self.running)
        # Claimed, a job has used one of its attempts, even if the worker dies before it starts.
        if free <= 0 or any(job.attempts == 1 for job in JOBS.values()):
            return max(free, 0)
        return free + min(self.ended, MAX_AHEAD * concurrency)

    def _start(self, claimed: Claim) -> None:
        self.waiting.add(claimed.id)
        task = asyncio.create_task(self._run(claimed))
        self.running[task] = claimed
        task.add_done_callback(self._end)

    async def _run(self, claimed: Claim) -> None:
        try:
            async with self.slots:
                self.waiting.discard(claimed.id)
                await run_job(claimed, self.sessions, self.settings)
        except asyncio.CancelledError:
            await release(claimed, self.sessions)
            raise

    def _end(self, task: asyncio.Task[None]) -> None:
        self.waiting.discard(self.running.pop(task).id)
        self.ended += not task.cancelled()
        if len(self.running) < self.settings.concurrency:
            self.wake.set()

    async def _renew_leases(self) -> None:
        """Extend the leases of running jobs, and end those that were cancelled, lost, or wait."""
        while True:
            await asyncio.sleep(self.settings.lease / 3)
            running = [*self.running.items()]
            try:
                async with asyncio.timeout(self.settings.lease), self.sessions() as session:
                    claims = [claimed for _, claimed in running]
                    left = await renew(session, claims, self.name, self.settings.lease)
            except Exception as error:
                logger.warning("leases not renewed", **describe(error))
                continue
            for task, claimed in running:
                # Other workers may have a free slot.
                if claimed.id not in left or claimed.id in self.waiting:
                    _cancel(task)


def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task once: a second time would interrupt the release of its job."""
    if not task.cancelling():
        task.cancel()
