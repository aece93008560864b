"""Enqueue jobs, run workers until no job is left, and print what became of them as JSON.

The argument is a `Plan` as JSON. The workers are forks that do what `python -m app.worker` does;
one that dies is replaced. Copied into a rendered project, beside faulty_jobs.py.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.core import models
from app.core.database import Session, create_engine, create_session_factory
from app.core.dialect import create_sync_engine
from app.core.settings import get_settings
from sqlalchemy import Connection, NullPool, TextClause, select, text
from sqlalchemy.exc import DBAPIError

CLEAR = [text(f"DELETE FROM {table}") for table in ("item", "queued_job", "job_schedule")]
LEFT = text("SELECT count(*) FROM queued_job WHERE failed_at IS NULL")
ITEMS = text("SELECT name, description FROM item ORDER BY name")
FAILED = text("SELECT name, attempts, error FROM queued_job WHERE failed_at IS NOT NULL")
# Of a worker's life.
MAX_SECONDS = 90
OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist"
    " WHERE db = database() AND id <> connection_id()",
}
DISCONNECT = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}
real_time = models.utc_now


def shifted_time() -> datetime:
    now: datetime = real_time()
    return now + Workers.offset


# Before anything imports it.
models.utc_now = shifted_time

from app import worker  # noqa: E402
from app.core.jobs import cancel, enqueue  # noqa: E402
from app.core.jobs.models import QueuedJob  # noqa: E402
from app.core.jobs.registry import JOBS  # noqa: E402
from app.modules.item.models import Item  # noqa: E402


@dataclass
class Plan:
    # Names of handlers, and their arguments; None for the jobs that there are.
    jobs: list[tuple[str, dict[str, Any]]] | None = None
    # Names of items that exist at the start.
    items: list[str] = field(default_factory=list)
    # Seconds by which the clock of each worker is ahead.
    clocks: list[float] = field(default_factory=lambda: [0, 0])
    # How many times a worker is killed, at random.
    kills: int = 0
    # How many times all connections to the database are closed, by its server.
    disconnections: int = 0
    # Whether another transaction locks the first job until all others are done.
    locks: bool = False
    # Whether every second job is cancelled.
    cancels: bool = False
    min_seconds: float = 0
    max_seconds: float = 60


class Workers:
    """Processes that run jobs; one that dies is replaced."""

    offset = timedelta()

    def __init__(self, clocks: list[float]) -> None:
        self.clocks: dict[int, float] = {}
        self.deaths = 0
        for clock in clocks:
            self.start(clock)

    def start(self, clock: float) -> None:
        if pid := os.fork():
            self.clocks[pid] = clock
            return
        # Its last resort, if SIGTERM does not end it.
        signal.alarm(MAX_SECONDS)
        Workers.offset = timedelta(seconds=clock)
        sys.argv = ["worker"]
        status = 1
        try:
            worker.main()
            status = 0
        finally:
            # Without what this process would do at its end.
            os._exit(status)

    def kill_one(self) -> None:
        os.kill(random.choice([*self.clocks]), signal.SIGKILL)

    def replace_dead(self) -> None:
        while self.clocks and (pid := os.waitpid(-1, os.WNOHANG)[0]):
            self.deaths += 1
            self.start(self.clocks.pop(pid))

    def stop(self) -> list[int]:
        """Return how each worker ended; one that does not is killed by SIGALRM."""
        for pid in self.clocks:
            os.kill(pid, signal.SIGTERM)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.clocks]


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    engine = create_engine(get_settings().database)
    async with create_session_factory(engine)() as session:
        yield session
        await session.commit()
    await engine.dispose()


async def enqueue_jobs(plan: Plan) -> list[UUID]:
    """Replace all rows by those of the plan; return the ids of its jobs."""
    if plan.jobs is None:
        return []
    async with open_session() as session:
        for statement in CLEAR:
            await session.execute(statement)
        session.add_all(Item(name=name) for name in plan.items)
        ids = [await enqueue(session, JOBS[name], **arguments) for name, arguments in plan.jobs]
        return [key for key in ids if key]


async def cancel_jobs(ids: list[UUID]) -> int:
    """Cancel jobs one after the other; return how many there still were."""
    count = 0
    async with open_session() as session:
        for key in ids:
            count += await cancel(session, key)
            await session.commit()
    return count


def disconnect(connection: Connection) -> None:
    """Close all other connections."""
    name = connection.dialect.name
    for key in connection.scalars(text(OTHERS[name])).all():
        # It may have been closed meanwhile.
        with suppress(DBAPIError):
            connection.execute(text(DISCONNECT[name].format(key)))


def run(plan: Plan) -> dict[str, Any]:
    worker.import_handlers()
    ids = asyncio.run(enqueue_jobs(plan))
    # Without transactions, which would wait for writers on SQLite.
    engine = create_sync_engine(get_settings().database.url, poolclass=NullPool)
    reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def read(statement: TextClause) -> list[list[Any]]:
        with reading.connect() as connection:
            return [[*row] for row in connection.execute(statement)]

    started = time.monotonic()
    disconnections = plan.disconnections
    locking = engine.connect() if plan.locks else None
    if locking:
        locking.execute(select(QueuedJob.id).where(QueuedJob.id == ids[0]).with_for_update())
    workers = Workers(plan.clocks)
    try:
        cancelled = asyncio.run(cancel_jobs(ids[::2])) if plan.cancels else 0
        while (seconds := time.monotonic() - started) < plan.max_seconds:
            workers.replace_dead()
            if seconds >= plan.min_seconds and read(LEFT) == [[0]]:
                break
            time.sleep(random.uniform(0, 0.2))
            if workers.deaths < plan.kills:
                workers.kill_one()
            if locking and read(LEFT) == [[1]]:
                locking.close()
            if disconnections:
                disconnections -= 1
                with reading.connect() as connection:
                    disconnect(connection)
    finally:
        statuses = workers.stop()
    return {
        "items": read(ITEMS),
        "failed": read(FAILED),
        "left": read(LEFT)[0][0],
        "cancelled": cancelled,
        "deaths": workers.deaths,
        "statuses": statuses,
    }


if __name__ == "__main__":
    print(json.dumps(run(Plan(**json.loads(sys.argv[1])))))
