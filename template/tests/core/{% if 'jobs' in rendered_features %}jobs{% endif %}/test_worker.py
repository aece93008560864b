import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from app.core.database import SessionFactory
from app.core.jobs import Job, cancel, enqueue, requeue
from app.core.jobs.models import QueuedJob
from app.core.jobs.queue import claim
from app.core.models import utc_now
from tests.core.jobs import handlers
from tests.core.jobs.conftest import Effects, Working, until


async def add(sessions: SessionFactory, job: Job[Any], *arguments: Any) -> Any:
    async with sessions.begin() as session:
        return await enqueue(session, job, *arguments)


async def stored(sessions: SessionFactory) -> list[QueuedJob]:
    async with sessions() as session:
        return [*await session.scalars(select(QueuedJob))]


async def until_done(sessions: SessionFactory) -> None:
    async def is_done() -> bool:
        return not await stored(sessions)

    await until(is_done)


async def until_failed(sessions: SessionFactory) -> None:
    async def has_failed() -> bool:
        (job,) = await stored(sessions)
        return job.failed_at is not None

    await until(has_failed)


async def test_effects_happen_once(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    names = [f"{number:03}" for number in range(100)]
    for name in names:
        await add(sessions, handlers.write, name)

    async with working(), working():
        await until_done(sessions)
    assert await effects() == names


async def test_failed_attempts_leave_no_effect(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    await add(sessions, handlers.fail, "one")

    async with working():
        await until_failed(sessions)
    (job,) = await stored(sessions)
    assert (job.attempts, job.error, job.due_at, job.worker) == (
        3,
        "ValueError: one failed",
        None,
        None,
    )
    assert await effects() == []


async def test_permanent_errors_are_not_retried(sessions: SessionFactory, working: Working) -> None:
    await add(sessions, handlers.fail_at_once)

    async with working():
        await until_failed(sessions)
    (job,) = await stored(sessions)
    assert (job.attempts, job.error) == (1, "PermanentError: never again")


async def test_retry_after_an_error(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    await add(sessions, handlers.succeed_later, "one")

    async with working():
        await until_done(sessions)
    assert await effects() == ["one"]


async def test_requeued_jobs_run_again(sessions: SessionFactory, working: Working) -> None:
    await add(sessions, handlers.fail_at_once)

    async with working():
        await until_failed(sessions)
    async with sessions.begin() as session:
        assert await requeue(session) == 1
    (job,) = await stored(sessions)
    assert (job.attempts, job.failed_at) == (0, None)
    async with working():
        await until_failed(sessions)


async def test_timeouts_are_failures(sessions: SessionFactory, working: Working) -> None:
    await add(sessions, handlers.exceed_timeout)

    async def has_been_tried() -> bool:
        (job,) = await stored(sessions)
        return job.error is not None

    async with working():
        await until(has_been_tried)
    (job,) = await stored(sessions)
    assert job.error
    assert job.error.startswith("TimeoutError")


async def test_steps_are_transactions_of_their_own(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    await add(sessions, handlers.count_down.with_options(unique_key="count", priority=3), 3)

    async with working():
        await until_failed(sessions)
    assert await effects() == ["1", "2", "3"]
    (last,) = await stored(sessions)
    assert (last.arguments, last.unique_key, last.priority) == ({"number": 0}, "count", 3)


async def test_cancelled_running_jobs_are_rolled_back(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    key = await add(sessions, handlers.wait, "one")
    async with working(lease=0.1) as worker:
        await asyncio.wait_for(handlers.started.wait(), 5)
        async with sessions.begin() as session:
            assert await cancel(session, key) == 1

        async def has_ended() -> bool:
            return not worker.running

        # The next renewal of the lease finds out.
        await until(has_ended)
    assert await effects() == []


async def test_lost_claims_are_rolled_back(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    key = await add(sessions, handlers.wait, "one")
    async with working(lease=1000):
        await asyncio.wait_for(handlers.started.wait(), 5)
        # Another worker claims it after the end of the lease.
        async with sessions.begin() as session:
            await session.execute(
                update(QueuedJob).where(QueuedJob.id == key).values(attempts=QueuedJob.attempts + 1)
            )
        handlers.release.set()
    assert await effects() == []
    assert len(await stored(sessions)) == 1


async def test_stopped_workers_finish_their_jobs(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    await add(sessions, handlers.wait, "one")
    async with working() as worker:
        await asyncio.wait_for(handlers.started.wait(), 5)
        worker.stop()
        await asyncio.sleep(0.1)
        handlers.release.set()
    assert await effects() == ["one"]


async def test_stopped_workers_put_back_jobs_that_take_longer(
    sessions: SessionFactory, working: Working, effects: Effects
) -> None:
    await add(sessions, handlers.wait, "one")
    async with working(shutdown_timeout=0.05):
        await asyncio.wait_for(handlers.started.wait(), 5)
    (job,) = await stored(sessions)
    assert (job.attempts, job.worker, job.error) == (0, None, None)
    assert job.due_at
    assert job.due_at <= utc_now()
    assert await effects() == []


async def test_jobs_that_kill_their_workers_fail(
    sessions: SessionFactory, working: Working
) -> None:
    key = await add(sessions, handlers.write, "one")
    async with sessions.begin() as session:
        await session.execute(
            update(QueuedJob)
            .where(QueuedJob.id == key)
            .values(attempts=handlers.write.attempts, worker="dead", due_at=utc_now())
        )

    async with working():
        await until_failed(sessions)
    (job,) = await stored(sessions)
    assert (
        job.error == "WorkerDiedError: the worker that had claimed the job died, or lost its lease"
    )


async def test_handlers_that_exit_fail(sessions: SessionFactory, working: Working) -> None:
    await add(sessions, handlers.end_the_process)

    async with working():
        await until_failed(sessions)
    (job,) = await stored(sessions)
    assert (job.attempts, job.error) == (3, "SystemExit: MAIL_HOST: missing")


async def test_jobs_that_wait_for_a_slot_are_left_to_others(
    sessions: SessionFactory, working: Working
) -> None:
    for number in range(3):
        await add(sessions, handlers.wait, str(number))

    async def is_put_back() -> bool:
        jobs = await stored(sessions)
        return [(job.attempts, job.worker) for job in jobs].count((0, None)) == 2

    async with working(concurrency=1, lease=0.3, poll_interval=100) as worker:
        await asyncio.wait_for(handlers.started.wait(), 5)
        # As if many short jobs had ended before.
        async with sessions() as session:
            names = ["jobs.wait"]
            claims = await claim(session, names, limit=2, worker=worker.name, lease=60)
        for claimed in claims:
            worker._start(claimed)
        await until(is_put_back)
        handlers.release.set()


async def test_a_stopped_worker_releases_jobs_that_replace_their_cancellation(
    sessions: SessionFactory, working: Working
) -> None:
    await add(sessions, handlers.replace_cancellation)
    async with working(shutdown_timeout=0.01):
        await asyncio.wait_for(handlers.started.wait(), 5)
    (job,) = await stored(sessions)
    assert (job.attempts, job.worker, job.failed_at) == (0, None, None)


async def test_a_worker_runs_jobs_if_its_health_file_cannot_be_written(
    sessions: SessionFactory, working: Working, effects: Effects, tmp_path: Path
) -> None:
    await add(sessions, handlers.write, "one")
    async with working(health_file=tmp_path / "missing" / "worker"):
        await until_done(sessions)
    assert await effects() == ["one"]


async def test_jobs_that_are_claimed_while_a_worker_stops_are_released(
    sessions: SessionFactory, working: Working
) -> None:
    async with working(poll_interval=3600) as worker:
        worker.stop()
        await add(sessions, handlers.write, "one")
        await worker._claim(1)
    (job,) = await stored(sessions)
    assert (job.attempts, job.worker) == (0, None)
