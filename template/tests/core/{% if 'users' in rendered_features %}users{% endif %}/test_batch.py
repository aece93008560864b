"""Keys that tasks ask for in the same iteration of the event loop are read together."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

import pytest

from app.core.users.batch import MAX_KEYS, Batch


class Reader:
    """Reads all keys but `unknown`, once it may continue; needs some time to be cancelled."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.was_cancelled = False
        self.has_started = asyncio.Event()
        self.may_continue = asyncio.Event()

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.reads.append([*keys])
        self.has_started.set()
        try:
            await self.may_continue.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            self.was_cancelled = True
            raise
        if "cancelled" in keys:
            raise asyncio.CancelledError
        if "invalid" in keys:
            raise ValueError("invalid")
        return {key: key.upper() for key in keys if key != "unknown"}


class Lookup:
    """Gets keys by batches."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.batch: Batch[str] | None = None

    async def get(self, key: str) -> str | None:
        if self.batch is None or not self.batch.is_open:
            self.batch = Batch(self.reader)
        return await self.batch.get(key)

    def start(self, *keys: str) -> list[asyncio.Task[str | None]]:
        return [asyncio.create_task(self.get(key)) for key in keys]


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def lookup(reader: Reader) -> Lookup:
    return Lookup(reader)


async def test_keys_are_read_together(reader: Reader, lookup: Lookup) -> None:
    reader.may_continue.set()
    found = await asyncio.gather(*lookup.start("a", "b", "a", "unknown"))
    assert found == ["A", "B", "A", None]
    assert reader.reads == [["a", "b", "a", "unknown"]]


async def test_a_read_that_has_started_is_not_joined(reader: Reader, lookup: Lookup) -> None:
    first = lookup.start("a")
    await reader.has_started.wait()
    second = lookup.start("a")
    reader.may_continue.set()
    assert await asyncio.gather(*first, *second) == ["A", "A"]
    assert reader.reads == [["a"], ["a"]]


async def test_a_full_batch_is_not_joined(reader: Reader, lookup: Lookup) -> None:
    reader.may_continue.set()
    await asyncio.gather(*lookup.start(*["a"] * MAX_KEYS, "b"))
    assert reader.reads == [["a"] * MAX_KEYS, ["b"]]


async def test_an_error_reaches_every_task(reader: Reader, lookup: Lookup) -> None:
    reader.may_continue.set()
    found = await asyncio.gather(*lookup.start("a", "invalid"), return_exceptions=True)
    assert [type(error) for error in found] == [ValueError, ValueError]


async def test_a_cancelled_task_does_not_cancel_the_read(reader: Reader, lookup: Lookup) -> None:
    cancelled, other = lookup.start("a", "b")
    await reader.has_started.wait()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    reader.may_continue.set()
    async with asyncio.timeout(5):
        assert await other == "B"


async def test_a_read_that_no_task_waits_for_is_cancelled(reader: Reader, lookup: Lookup) -> None:
    tasks = lookup.start("a", "b")
    await reader.has_started.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0.1)
    assert reader.was_cancelled


async def test_a_read_is_cancelled_once(reader: Reader, lookup: Lookup) -> None:
    others = asyncio.all_tasks()
    tasks = lookup.start("a", "b")
    await reader.has_started.wait()
    [read] = asyncio.all_tasks() - others - {*tasks}
    # As asyncio.run() does at its end.
    for task in (read, *tasks):
        task.cancel()
    await asyncio.wait([read])
    assert reader.was_cancelled


async def test_no_task_waits_for_a_read_that_was_cancelled(reader: Reader, lookup: Lookup) -> None:
    reader.may_continue.set()
    tasks = lookup.start("a", "cancelled")
    await asyncio.wait(tasks, timeout=5)
    assert [task.cancelled() for task in tasks] == [True, True]


if sys.version_info >= (3, 12):

    async def test_keys_are_read_together_by_eager_tasks(reader: Reader, lookup: Lookup) -> None:
        reader.may_continue.set()
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        try:
            tasks = lookup.start("a", "b")
        finally:
            loop.set_task_factory(None)
        async with asyncio.timeout(5):
            assert await asyncio.gather(*tasks) == ["A", "B"]
        assert reader.reads == [["a", "b"]]
