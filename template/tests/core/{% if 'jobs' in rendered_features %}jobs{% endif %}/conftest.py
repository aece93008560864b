import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import SessionFactory, create_engine, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.jobs.registry import JOBS
from app.core.jobs.schedules import SCHEDULES
from app.core.jobs.settings import JobsSettings
from app.core.jobs.worker import Worker
from app.core.settings import Settings
from tests.core.jobs import handlers

Working: TypeAlias = Callable[..., Any]
Effects: TypeAlias = Callable[[], Awaitable[list[str]]]

# Fast enough for tests.
SETTINGS: dict[str, Any] = {"poll_interval": 0.02, "retry_wait": 0.001, "shutdown_timeout": 5}


@pytest.fixture(autouse=True)
def _only_these_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the project's handlers, whose jobs may be due."""
    for name in [*JOBS]:
        if name.partition(".")[0] != "jobs":
            monkeypatch.delitem(JOBS, name)
    for name in [*SCHEDULES]:
        monkeypatch.delitem(SCHEDULES, name)


@pytest.fixture
async def sessions(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit, on a database with a table for the effects of jobs."""
    handlers.started.clear()
    handlers.release.clear()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE test__effect (name VARCHAR(100))"))
    yield create_session_factory(engine)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE test__effect"))
        await connection.execute(delete(QueuedJob))
        await connection.execute(text("DELETE FROM job_schedule"))


@pytest.fixture
async def effects(sessions: SessionFactory) -> Effects:
    async def read() -> list[str]:
        async with sessions() as session:
            return [*(await session.scalars(text("SELECT name FROM test__effect ORDER BY name")))]

    return read


@pytest.fixture
async def working(settings: Settings, sessions: SessionFactory) -> AsyncIterator[Working]:
    """`async with working() as worker:` runs a worker in the test's process."""
    # A worker changes what its connections do.
    engine = create_engine(settings.database)

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Worker]:
        worker = Worker(engine, JobsSettings(**SETTINGS | settings))
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            if not worker.is_stopping:
                worker.stop()
            await task

    yield run
    await engine.dispose()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
