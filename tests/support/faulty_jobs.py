"""Jobs that write items, and fail in their own ways: the jobs.py of a rendered project's module.

The description of an item is the attempt that wrote it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Timer
from typing import cast

from app.core.database import Session
from app.core.jobs import current_job, job, schedule
from app.core.jobs.models import QueuedJob
from app.modules.item.models import Item
from app.modules.item.schemas import ItemCreate
from app.modules.item.service import ItemService
from faulty_application import block_commits
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

# Files that jobs leave there, so that they fail only once.
FOLDER = Path(os.environ.get("JOBS_FOLDER", "."))
# Of jobs that lose workers which is not their fault.
MANY = 100
UNBLOCKING: list[asyncio.Task[None]] = []


async def create_item(session: Session, name: str) -> None:
    attempt = f"attempt {current_job().attempt}"
    await ItemService(session).create(ItemCreate(name=name, description=attempt))


def is_first(name: str) -> bool:
    """Return whether this is the first call with a name, of all processes."""
    try:
        (FOLDER / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def kill_worker(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@job(attempts=MANY)
async def write(session: Session, name: str, before: float = 0, after: float = 0) -> None:
    """Write an item; wait before, without a transaction, and after it."""
    await asyncio.sleep(before)
    await create_item(session, name)
    await asyncio.sleep(after)


@job(attempts=MANY)
async def die(session: Session, name: str, moment: str, delay: float = 0) -> None:
    """Write an item; the worker is killed once, some seconds after an event of the session."""
    await create_item(session, name)
    if is_first(name):
        kill: Callable[..., None] = Timer(delay, kill_worker).start if delay else kill_worker
        event.listen(session.sync_session, moment, lambda *_: kill())


@job(attempts=3)
async def kill(session: Session, name: str) -> None:
    await create_item(session, name)
    kill_worker()


@job(attempts=3)
async def fail(session: Session, name: str) -> None:
    await create_item(session, name)
    raise ValueError(f"{name} failed")


@job(attempts=3)
async def cancel_itself(session: Session, name: str) -> None:
    await create_item(session, name)
    raise asyncio.CancelledError


@job(attempts=MANY)
async def block(session: Session, name: str, seconds: float, fails: bool = False) -> None:
    """Write an item; the first attempt blocks its worker until another has begun, which waits.

    Each attempt leaves a file.
    """
    if is_first(name):
        wait_for_file(f"{name} *")
        if fails:
            raise ValueError(f"{name} failed")
    else:
        is_first(f"{name} {time.monotonic_ns()}")
        await asyncio.sleep(seconds)
    await create_item(session, name)


def wait_for_file(pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not [*FOLDER.glob(pattern)] and time.monotonic() < deadline:
        time.sleep(0.01)


@job()
async def stall(session: Session, name: str, seconds: float) -> None:
    """Block the worker, and write an item."""
    time.sleep(seconds)
    await create_item(session, name)


@job(attempts=MANY)
async def wait_once(session: Session, name: str, seconds: float) -> None:
    """Write an item; the first attempt leaves a file and waits before that."""
    if is_first(name):
        await asyncio.sleep(seconds)
    await create_item(session, name)


@job(attempts=MANY)
async def update_both(session: Session, name: str, items: list[str]) -> None:
    """Update two items in this order, together with a job that does so in the other order."""
    for item in items:
        await session.execute(update(Item).where(Item.name == item).values(description=name))
        if is_first(name):
            while len([*FOLDER.iterdir()]) < 2:
                await asyncio.sleep(0.01)
    await create_item(session, name)


@job(attempts=MANY, timeout=2)
async def commit_slowly(session: Session, name: str) -> None:
    """Write an item; the first commit takes longer than the job's time limit."""
    await create_item(session, name)
    if is_first(name):
        stack = AsyncExitStack()
        await block_commits(session, cast(AsyncEngine, session.bind), stack)
        UNBLOCKING.append(asyncio.create_task(unblock(stack, 4)))


async def unblock(stack: AsyncExitStack, seconds: float) -> None:
    async with stack:
        await asyncio.sleep(seconds)


@schedule(os.environ.get("JOBS_CRON", "0 0 1 1 *"))
@job(attempts=MANY)
async def tick(session: Session) -> None:
    """Write when it was enqueued."""
    statement = select(QueuedJob.created_at).where(QueuedJob.id == current_job().id)
    await create_item(session, f"{await session.scalar(statement):%H:%M:%S}")
