"""The queue: jobs are enqueued, claimed, finished and put back by changes of their rows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    CursorResult,
    Executable,
    Table,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as SyncSession
from structlog.contextvars import get_contextvars
from uuid_utils.compat import uuid7

from app.core.database import Session, commit_or_disconnect
from app.core.jobs.broker.messages import publish_after_commit
from app.core.jobs.models import Claim, QueuedJob
from app.core.jobs.registry import JOBS, Job, NextStep, P
from app.core.jobs.telemetry import traceparent
from app.core.jobs.wakeups import with_wakeup
from app.core.models import utc_now

# Not the model: a session's bulk statements on models are slower, and look for loaded entities.
TABLE = cast(Table, QueuedJob.__table__)
INSERT = with_wakeup(insert(TABLE))
DUE = (
    select(
        *(TABLE.c.id, TABLE.c.name, TABLE.c.arguments, TABLE.c.priority, TABLE.c.unique_key),
        *(TABLE.c.request_id, TABLE.c.traceparent, (TABLE.c.attempts + 1).label("attempt")),
        TABLE.c.worker.label("last_worker"),
    )
    .where(TABLE.c.due_at <= bindparam("now"), TABLE.c.name.in_(bindparam("names", expanding=True)))
    .order_by(TABLE.c.priority, TABLE.c.due_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
CLAIM = (
    update(TABLE)
    .where(TABLE.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        attempts=TABLE.c.attempts + 1, due_at=bindparam("lease_end"), worker=bindparam("claimant")
    )
)
IS_CLAIMED = (TABLE.c.id == bindparam("claimed_id"), TABLE.c.attempts == bindparam("attempt"))
FINISH = delete(TABLE).where(*IS_CLAIMED)
# A job that was put back has the number of an earlier attempt again, but no worker.
PUT_BACK = update(TABLE).where(*IS_CLAIMED, TABLE.c.worker.is_not(None)).values(worker=None)

# Maximum difference between clocks. New jobs are due this much earlier, so that a worker whose
# clock is behind also finds them when it is notified.
CLOCK_DIFFERENCE = timedelta(seconds=5)


class ClaimLostError(Exception):
    """The job was cancelled, or another worker has claimed it: its transaction must not commit."""


async def enqueue(
    session: Session, job: Job[P], /, *args: P.args, **kwargs: P.kwargs
) -> UUID | None:
    """Insert a job in the session's transaction; return its id, or None if its key is taken.

    A rollback leaves no job, and no worker sees it before the commit. Raises TypeError for
    arguments that the handler does not take.
    """
    row = new_row(job, job.arguments(*args, **kwargs))
    job_id: UUID = row["id"]
    if job.unique_key is None:
        await session.execute(INSERT, row)
    else:
        # begin_nested() flushes, too: an error of pending changes would look like a taken key.
        await session.flush()
        try:
            async with session.begin_nested():
                await session.execute(INSERT, row)
        except IntegrityError:
            return None
    publish_after_commit(session.sync_session, row)
    return job_id


def new_row(job: Job[Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a new row of the table."""
    return {
        "id": uuid7(),
        "name": job.name,
        "arguments": arguments,
        "priority": job.priority,
        "due_at": utc_now() + (job.delay or -CLOCK_DIFFERENCE),
        "unique_key": job.unique_key,
        "request_id": get_contextvars().get("request_id"),
        "traceparent": traceparent(),
    }


async def cancel(session: Session, *ids: UUID, unique_key: str | None = None) -> int:
    """Delete jobs by id or by key, also failed ones, and return how many there were.

    If one is running, its transaction is rolled back, at the latest when its handler ends.
    """
    # An empty list matches nothing; NULL would match all jobs without a key.
    keys = [] if unique_key is None else [unique_key]
    named = or_(TABLE.c.id.in_(ids), TABLE.c.unique_key.in_(keys))
    return await execute(session, delete(TABLE).where(named))


async def requeue(session: Session, ids: Collection[UUID] | None = None) -> int:
    """Make failed jobs due again, all of them if `ids` is None; return how many there were."""
    statement = update(TABLE).where(TABLE.c.failed_at.is_not(None))
    if ids is not None:
        statement = statement.where(TABLE.c.id.in_(ids))
    return await execute(session, statement.values(due_at=utc_now(), attempts=0, failed_at=None))


async def claim(
    session: Session,
    names: Iterable[str],
    limit: int,
    worker: str,
    lease: float,
    *,
    running: Collection[UUID] = (),
    named: Sequence[UUID] = (),
) -> Sequence[Claim]:
    """Claim jobs that are due and commit; no other worker claims them for `lease` seconds.

    Never those in `running`: the worker still runs them, and was blocked or suspended until their
    leases ended. Only those in `named`, if there are any.
    """
    now = utc_now()
    due = DUE.where(TABLE.c.id.in_(named)) if named else DUE
    rows = await session.execute(due, {"now": now, "names": [*names], "limit": limit})
    claims = [row for row in rows if row.id not in running]
    if claims:
        lease_end = now + timedelta(seconds=lease)
        ids = [claim.id for claim in claims]
        await session.execute(CLAIM, {"ids": ids, "lease_end": lease_end, "claimant": worker})
    await session.commit()
    return claims


async def renew(session: Session, claims: Iterable[Claim], worker: str, lease: float) -> set[UUID]:
    """Extend the leases of claimed jobs and commit; return the ids of those that are left."""
    ids = [claim.id for claim in claims]
    is_mine = (TABLE.c.id.in_(ids), TABLE.c.worker == worker)
    lease_end = utc_now() + timedelta(seconds=lease)
    await session.execute(update(TABLE).where(*is_mine).values(due_at=lease_end))
    left = {*(await session.scalars(select(TABLE.c.id).where(*is_mine)))}
    await session.commit()
    return left


def finish(session: SyncSession, claim: Claim, next_step: NextStep | None) -> None:
    """Delete a job, insert its next step, and commit the transaction of its handler.

    Raises ClaimLostError if the job is not claimed by this run any more, and TypeError if the next
    step has arguments that the handler does not take. Synchronous, for
    `session.run_sync`: three calls of an asynchronous session cost a quarter more.
    """
    # Before the row is locked: renewals of all leases of the worker would wait for it.
    session.flush()
    connection = session.connection()
    finished = {"claimed_id": claim.id, "attempt": claim.attempt}
    if connection.execute(FINISH, finished).rowcount != 1:
        raise ClaimLostError
    if next_step:
        step = replace(JOBS[claim.name], priority=claim.priority, unique_key=claim.unique_key)
        row = new_row(step, step.arguments(**next_step.arguments))
        connection.execute(INSERT, row)
        publish_after_commit(session, row)
    commit_or_disconnect(session)


async def put_back(session: Session, claim: Claim, **values: Any) -> int:
    """End a claim with these values in the row, and commit; return how many rows there were."""
    statement = PUT_BACK.values(values)
    count = await execute(session, statement, claimed_id=claim.id, attempt=claim.attempt)
    await session.commit()
    return count


async def execute(session: Session, statement: Executable, **parameters: Any) -> int:
    """Return how many rows a statement changed."""
    return cast(CursorResult[Any], await session.execute(statement, parameters)).rowcount
