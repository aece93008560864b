"""The fixture `jobs`, which runs what a test has enqueued."""

from typing import Any

import pytest
from sqlalchemy import select

from app.core.database import SessionFactory
from app.core.jobs.attempts import run_handler
from app.core.jobs.models import QueuedJob
from app.core.jobs.queue import claim
from app.core.jobs.registry import JOBS
from app.worker import import_handlers


class JobRunner:
    """Shows and runs the jobs that a test has enqueued, in the test's process."""

    def __init__(self, sessions: SessionFactory) -> None:
        self.sessions = sessions

    async def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the names and the arguments of all jobs, as they are due."""
        statement = select(QueuedJob).order_by(QueuedJob.priority, QueuedJob.due_at)
        async with self.sessions() as session:
            jobs = await session.scalars(statement)
            return [(job.name, job.arguments) for job in jobs]

    async def run(self) -> list[str]:
        """Run jobs that are due, and those that they enqueue; return their names.

        Raises what a handler raises; there are no retries.
        """
        ran: list[str] = []
        while True:
            async with self.sessions() as session:
                claims = await claim(session, JOBS, limit=1, worker="test", lease=60)
            if not claims:
                return ran
            await run_handler(claims[0], self.sessions)
            ran.append(claims[0].name)


@pytest.fixture
def jobs(session_factory: SessionFactory) -> JobRunner:
    import_handlers()
    return JobRunner(session_factory)
