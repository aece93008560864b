"""Enqueue jobs of the project in the current folder, in one of several ways; print seconds.

Each job has a transaction of its own, and a number for a name.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from app.core.database import create_engine, create_session_factory
from app.core.jobs import enqueue
from app.core.jobs.broker.connections import connect
from app.core.jobs.broker.messages import get_publisher
from app.core.jobs.broker.settings import get_broker_settings
from app.core.settings import get_settings
from app.modules.item.jobs import record
from sqlalchemy.ext.asyncio import async_sessionmaker
from taskiq import BrokerMessage

SECONDS_BETWEEN = 0.005


async def add(sessions: async_sessionmaker, name: str, *, seconds: float = 0) -> UUID | None:
    """Enqueue a job, and one more in a transaction that is rolled back; commit after `seconds`."""
    async with sessions() as session:
        await enqueue(session, record, name="rolled back")
        await session.rollback()
        job_id: UUID | None = await enqueue(session, record, name=name)
        await asyncio.sleep(seconds)
        await session.commit()
    return job_id


async def add_many(sessions: async_sessionmaker, count: str) -> None:
    slowest = 0.0
    for number in range(int(count)):
        started = time.monotonic()
        await add(sessions, str(number))
        slowest = max(slowest, time.monotonic() - started)
        await asyncio.sleep(SECONDS_BETWEEN)
    print(json.dumps(slowest))


async def add_slowly(sessions: async_sessionmaker, name: str, seconds: str) -> None:
    """Commit later than a message would need that was published before."""
    await add(sessions, name, seconds=float(seconds))
    while not get_publisher().waiting.empty():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)


async def add_repeatedly(sessions: async_sessionmaker, count: str) -> None:
    """Publish each message three times, in any order, among messages that name no job."""
    ids = [str(await add(sessions, str(number))) for number in range(int(count))]
    bodies = [body.encode() for body in [*ids * 3, *(str(uuid4()) for _ in ids), "", "é"]]
    random.shuffle(bodies)
    async with connect(get_broker_settings(), is_worker=False) as broker:
        for body in [b"\xff", *bodies]:
            await broker.kick(BrokerMessage(task_id="", task_name="", message=body, labels={}))


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "many": add_many,
    "slowly": add_slowly,
    "repeatedly": add_repeatedly,
}


async def main() -> None:
    engine = create_engine(get_settings().database)
    try:
        await COMMANDS[sys.argv[1]](create_session_factory(engine), *sys.argv[2:])
    finally:
        await engine.dispose()


asyncio.run(main())
