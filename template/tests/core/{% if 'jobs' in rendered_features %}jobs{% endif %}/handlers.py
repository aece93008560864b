"""Handlers of jobs that tests enqueue; each effect is a row of the table `test__effect`."""

import asyncio

from sqlalchemy import text

from app.core.database import Session
from app.core.jobs import NextStep, PermanentError, current_job, job

EFFECT = text("INSERT INTO test__effect (name) VALUES (:name)")
started = asyncio.Event()
release = asyncio.Event()


@job()
async def write(session: Session, name: str) -> None:
    await session.execute(EFFECT, {"name": name})


@job()
async def do_nothing(session: Session, name: str) -> None: ...


@job(attempts=3)
async def fail(session: Session, name: str) -> None:
    await session.execute(EFFECT, {"name": name})
    raise ValueError(f"{name} failed")


@job()
async def fail_at_once(session: Session) -> None:
    raise PermanentError("never again")


@job()
async def succeed_later(session: Session, name: str) -> None:
    await session.execute(EFFECT, {"name": name})
    if current_job().attempt == 1:
        raise ValueError("not yet")


@job(timeout=0.05)
async def exceed_timeout(session: Session) -> None:
    await asyncio.sleep(10)


@job()
async def wait(session: Session, name: str) -> None:
    """Wait until a test sets `release`, and write."""
    # Not before: on SQLite, no other transaction could write meanwhile.
    started.set()
    await release.wait()
    await session.execute(EFFECT, {"name": name})


@job()
async def count_down(session: Session, number: int) -> NextStep:
    """Write a number and those below it, each in a step; then fail."""
    if number == 0:
        raise PermanentError("zero")
    await session.execute(EFFECT, {"name": str(number)})
    return NextStep(number=number - 1)


@job(attempts=3)
async def end_the_process(session: Session) -> None:
    raise SystemExit("MAIL_HOST: missing")


@job(attempts=1)
async def replace_cancellation(session: Session) -> None:
    """Wait; if this is cancelled, raise another error, as some libraries do."""
    started.set()
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        raise ConnectionError("closed") from None


@job()
async def rerun(session: Session, job: str) -> None:
    """Write the argument, which has the name of a parameter of `enqueue`."""
    await session.execute(EFFECT, {"name": job})
