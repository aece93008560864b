"""Messages that name a job to claim, published after the commit that enqueued it.

The row in the database stays the truth: a message that is lost, repeated or late changes when a job
runs, and nothing else.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.core.jobs.broker.connections import TIMEOUT, stay_connected
from app.core.jobs.broker.settings import BrokerSettings, get_broker_settings
from app.core.jobs.settings import JobsSettings
from app.core.models import utc_now

if TYPE_CHECKING:
    from taskiq import AsyncBroker

# Key in `Session.info`: the ids of the jobs that its transaction has enqueued.
ENQUEUED = "enqueued_jobs"
# Messages that a process keeps while its broker is unavailable; workers find other jobs by polling.
MAX_WAITING = 10_000


def publish_after_commit(session: Session, row: dict[str, Any]) -> None:
    """Publish a message after the session's transaction, without waiting, if there is a broker.

    Not for a row of a delayed job.
    """
    if not get_broker_settings().url or row["due_at"] > utc_now():
        return
    if ENQUEUED not in session.info:
        session.info[ENQUEUED] = []
        event.listen(session, "after_commit", _publish)
        event.listen(session, "after_rollback", _forget)
    session.info[ENQUEUED].append(row["id"])


def _publish(session: Session) -> None:
    # A savepoint that is released can still be rolled back.
    if not session.in_nested_transaction():
        publisher = get_publisher()
        for job_id in session.info[ENQUEUED]:
            publisher.publish(job_id)
        session.info[ENQUEUED].clear()


def _forget(session: Session) -> None:
    session.info[ENQUEUED].clear()


class Publisher:
    """Publishes in a task of its own, which connects first and ends with the event loop."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: asyncio.Queue[UUID] = asyncio.Queue(MAX_WAITING)
        # Not in the context of the first request.
        self.task = self.loop.create_task(stay_connected(settings, self._send), context=Context())

    def publish(self, job_id: UUID) -> None:
        with suppress(asyncio.QueueFull):
            self.waiting.put_nowait(job_id)

    async def _send(self, broker: "AsyncBroker") -> None:
        from taskiq import BrokerMessage

        while True:
            text = str(await self.waiting.get())
            message = BrokerMessage(task_id=text, task_name="job", message=text.encode(), labels={})
            async with asyncio.timeout(TIMEOUT):
                await broker.kick(message)


_publisher: Publisher | None = None


def get_publisher() -> Publisher:
    """Return the publisher of the running event loop."""
    global _publisher
    if _publisher is None or _publisher.loop is not asyncio.get_running_loop():
        _publisher = Publisher(get_broker_settings())
    return _publisher


class Inbox:
    """The jobs that messages named to a worker, which also polls, for those without a message."""

    def __init__(
        self, broker: BrokerSettings, settings: JobsSettings, wake: Callable[[], None]
    ) -> None:
        self.broker = broker
        self.poll_interval = settings.poll_interval
        self.wake = wake
        # Bounded: messages that this worker cannot use yet stay in the broker, for other workers.
        self.named: asyncio.Queue[UUID] = asyncio.Queue(settings.concurrency)
        self.next_poll = 0.0

    async def receive(self) -> None:
        """Receive messages until this is cancelled."""
        await stay_connected(self.broker, self._receive, is_worker=True)

    async def _receive(self, broker: "AsyncBroker") -> None:
        message: Any
        async with aclosing(broker.listen()) as messages:
            async for message in messages:
                await message.ack()
                with suppress(ValueError):
                    await self.named.put(UUID(message.data.decode()))
                    self.wake()

    def take(self, limit: int) -> list[UUID]:
        """Return jobs that messages named; none if it is time to look for any that are due."""
        if self.named.empty() or monotonic() >= self.next_poll:
            self.next_poll = monotonic() + self.poll_interval
            return []
        named = [self.named.get_nowait() for _ in range(min(limit, self.named.qsize()))]
        if not self.named.empty():
            self.wake()
        return named


def open_inbox(settings: JobsSettings, wake: Callable[[], None]) -> Inbox | None:
    """Return an inbox that calls `wake` for each message; None without a broker."""
    broker = get_broker_settings()
    return Inbox(broker, settings, wake) if broker.url else None
