"""Jobs of PgQueuer, with its defaults, and with the settings that `pgq autovac` recommends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pgqueuer
import rows
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


@asynccontextmanager
async def create_worker() -> AsyncIterator[PgQueuer]:
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(rows.DATABASE_URL)))
    sessions, pool = rows.session_factory(), await rows.connection_pool()

    @worker.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        pass

    @worker.entrypoint("session")
    async def by_session(job: Job) -> None:
        async with sessions.begin() as session:
            session.add(rows.entity(int(job.payload)))

    @worker.entrypoint("asyncpg")
    async def by_asyncpg(job: Job) -> None:
        await pool.execute(rows.INSERT, *rows.values(int(job.payload)))

    print("ready", flush=True)
    yield worker


class Queue:
    async def open(self) -> None:
        self.sessions, self.pool = rows.session_factory(), await rows.connection_pool()
        self.connection = await asyncpg.connect(rows.DATABASE_URL)
        self.queries = Queries(AsyncpgDriver(self.connection))
        if not await self.queries.schema_is_installed():
            await self.queries.install()
            await self.queries.optimize_autovacuum()

    async def fill(self, kind: str, count: int) -> None:
        payloads = [str(number).encode() for number in range(count)]
        await self.queries.enqueue([kind] * count, payloads, [0] * count)

    async def remaining(self) -> int:
        return await self.connection.fetchval("SELECT count(*) FROM pgqueuer")

    async def clear(self) -> None:
        await self.connection.execute("TRUNCATE pgqueuer, pgqueuer_log")

    async def enqueue_by_session(self, number: int) -> None:
        async with self.sessions.begin() as session:
            session.add(rows.entity(number))
            # Before the first statement, its connection would commit each job at once.
            await session.flush()
            connection = await (await session.connection()).get_raw_connection()
            queries = Queries(AsyncpgDriver(connection.driver_connection))
            await queries.enqueue("nothing", str(number).encode())

    async def enqueue_by_asyncpg(self, number: int) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(rows.INSERT, *rows.values(number))
            await Queries(AsyncpgDriver(connection)).enqueue("nothing", str(number).encode())


if __name__ == "__main__":
    # As `pgq run` does, which fails with Typer 0.29.
    uvloop.run(pgqueuer.run(create_worker))
