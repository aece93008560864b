"""Messages of a broker in memory; tests of the template run workers with real ones."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app.core.database import SessionFactory
from app.core.jobs import enqueue
from app.core.jobs.broker import connections, messages
from app.core.jobs.broker.settings import BrokerSettings
from app.core.jobs.settings import JobsSettings
from tests.core.jobs import handlers
from tests.core.jobs.conftest import Effects, Working, until

URL = "redis://user:secret@broker"
# Seconds between polls for due jobs: not within a test.
NEVER = 3600


class FakeBroker:
    """Keeps messages in memory; `failures` of the next attempts to connect fail."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.failures = 0

    async def startup(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("refused")

    async def shutdown(self) -> None:
        pass

    async def kick(self, message: Any) -> None:
        self.messages.put_nowait(message.message)

    async def listen(self) -> AsyncIterator[Any]:
        while True:
            yield SimpleNamespace(data=await self.messages.get(), ack=self.acknowledge)

    async def acknowledge(self) -> None:
        pass

    async def published(self) -> list[UUID]:
        """Return the ids in messages, once the publisher had time to send them."""
        await asyncio.sleep(0.05)
        return [UUID(self.messages.get_nowait().decode()) for _ in range(self.messages.qsize())]


@pytest.fixture
async def fake_broker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeBroker]:
    fake = FakeBroker()
    # The extra need not be installed.
    taskiq = ModuleType("taskiq")
    monkeypatch.setattr(taskiq, "BrokerMessage", SimpleNamespace, raising=False)
    monkeypatch.setitem(sys.modules, "taskiq", taskiq)
    monkeypatch.setattr("app.core.jobs.broker.settings.find_spec", lambda _: True)
    settings = BrokerSettings(url=URL)
    monkeypatch.setattr(connections, "create_broker", lambda *_: fake)
    monkeypatch.setattr(connections, "RECONNECT_WAIT", 0.01)
    monkeypatch.setattr(messages, "get_broker_settings", lambda: settings)
    monkeypatch.setattr(messages, "_publisher", None)
    yield fake
    task = messages.get_publisher().task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_messages_are_published_after_the_commit(
    sessions: SessionFactory, fake_broker: FakeBroker
) -> None:
    async with sessions() as session:
        ids = [await enqueue(session, handlers.write, name="first")]
        async with session.begin_nested():
            ids.append(await enqueue(session, handlers.write, name="second"))
        assert await fake_broker.published() == []
        await session.commit()
    assert await fake_broker.published() == ids


async def test_rollbacks_and_delayed_jobs_publish_no_message(
    sessions: SessionFactory, fake_broker: FakeBroker
) -> None:
    async with sessions() as session:
        await enqueue(session, handlers.write, name="rolled back")
        await session.rollback()
        await session.execute(select(1))
        await session.commit()
    later = handlers.write.with_options(delay=timedelta(hours=1))
    async with sessions.begin() as session:
        await enqueue(session, later, name="later")
    assert await fake_broker.published() == []


async def test_a_message_wakes_a_worker(
    sessions: SessionFactory,
    fake_broker: FakeBroker,
    working: Working,
    effects: Effects,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def is_done() -> bool:
        return await effects() == ["one"]

    async def is_done_twice() -> bool:
        return len(await effects()) == 2

    async with working(poll_interval=NEVER):
        await asyncio.sleep(0.1)
        # Names no job.
        for body in (b"", b"\xff", str(uuid4()).encode()):
            fake_broker.messages.put_nowait(body)
        async with sessions.begin() as session:
            key = await enqueue(session, handlers.write, name="one")
        await until(is_done)
        # Repeated.
        fake_broker.messages.put_nowait(str(key).encode())
        async with sessions.begin() as session:
            await enqueue(session, handlers.write, name="two")
        await until(is_done_twice)
    assert await effects() == ["one", "two"]
    assert "unavailable" not in caplog.text


@pytest.mark.parametrize("is_idle", [True, False])
async def test_jobs_without_a_message_are_found(
    is_idle: bool,
    sessions: SessionFactory,
    fake_broker: FakeBroker,
    working: Working,
    effects: Effects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages.Publisher, "publish", lambda *_: None)

    async def is_done() -> bool:
        if not is_idle:
            fake_broker.messages.put_nowait(str(uuid4()).encode())
        return await effects() == ["lost"]

    async with working():
        async with sessions.begin() as session:
            await enqueue(session, handlers.write, name="lost")
        await until(is_done)


async def test_an_outage_is_one_warning_without_the_password(
    sessions: SessionFactory, fake_broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    fake_broker.failures = 3
    with caplog.at_level("INFO", "app.core.jobs.broker.connections"):
        async with sessions.begin() as session:
            key = await enqueue(session, handlers.write, name="one")
        assert await fake_broker.published() == [key]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "ConnectionError: refused" in caplog.text
    assert "secret" not in caplog.text


async def test_a_broker_that_rejects_every_message_is_one_warning(
    sessions: SessionFactory,
    fake_broker: FakeBroker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rejected: list[object] = []

    async def reject(message: object) -> None:
        rejected.append(message)
        raise PermissionError("denied")

    async def is_rejected() -> bool:
        return len(rejected) == 3

    monkeypatch.setattr(fake_broker, "kick", reject)
    with caplog.at_level("INFO", "app.core.jobs.broker.connections"):
        async with sessions.begin() as session:
            for name in ("one", "two", "three"):
                await enqueue(session, handlers.write, name=name)
        await until(is_rejected)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_messages_that_are_left_wake_the_worker() -> None:
    woken: list[bool] = []
    inbox = messages.Inbox(
        BrokerSettings(), JobsSettings(poll_interval=NEVER), lambda: woken.append(True)
    )
    assert inbox.take(2) == []
    ids = [uuid4() for _ in range(3)]
    for key in ids:
        inbox.named.put_nowait(key)
    assert (inbox.take(2), woken) == (ids[:2], [True])
    assert (inbox.take(2), woken) == (ids[2:], [True])
