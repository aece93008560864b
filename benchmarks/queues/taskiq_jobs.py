"""Jobs of Taskiq, with Redis streams, which acknowledge; enqueued after the commit."""

import os
from typing import Annotated

import rows
from redis.asyncio import Redis
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

REDIS_URL = os.environ["REDIS_URL"]
# From the start of the stream: $ would miss what was enqueued before the first worker started.
# No read timeout: workers are stopped while their queue is filled, see load.py.
broker = RedisStreamBroker(REDIS_URL, consumer_id="0", socket_timeout=None)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state: TaskiqState) -> None:
    state.sessions, state.pool = rows.session_factory(), await rows.connection_pool()


@broker.task
async def nothing(number: int) -> None:
    pass


@broker.task
async def by_session(number: int, context: Annotated[Context, TaskiqDepends()]) -> None:
    async with context.state.sessions.begin() as session:
        session.add(rows.entity(number))


@broker.task
async def by_asyncpg(number: int, context: Annotated[Context, TaskiqDepends()]) -> None:
    await context.state.pool.execute(rows.INSERT, *rows.values(number))


TASKS = {"nothing": nothing, "session": by_session, "asyncpg": by_asyncpg}


class Queue:
    async def open(self) -> None:
        self.sessions, self.pool = rows.session_factory(), await rows.connection_pool()
        self.redis = Redis.from_url(REDIS_URL)
        await broker.startup()

    async def fill(self, kind: str, count: int) -> None:
        for number in range(count):
            await TASKS[kind].kiq(number)

    async def remaining(self) -> int:
        [group] = await self.redis.xinfo_groups(broker.queue_name)
        return group["lag"] + group["pending"]

    async def clear(self) -> None:
        await self.redis.flushdb()

    async def enqueue_by_session(self, number: int) -> None:
        async with self.sessions.begin() as session:
            session.add(rows.entity(number))
        await nothing.kiq(number)

    async def enqueue_by_asyncpg(self, number: int) -> None:
        await self.pool.execute(rows.INSERT, *rows.values(number))
        await nothing.kiq(number)
