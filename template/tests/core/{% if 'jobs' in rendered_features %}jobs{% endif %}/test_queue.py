from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app.core.database import SessionFactory
from app.core.jobs import cancel, enqueue, queue
from app.core.jobs.models import QueuedJob
from app.core.jobs.queue import claim, put_back
from app.core.jobs.registry import JOBS, job
from app.core.models import utc_now
from tests.core.jobs import handlers
from tests.core.jobs.fixtures import JobRunner


async def count(sessions: SessionFactory) -> int | None:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(QueuedJob))


async def test_commit_keeps_the_job(sessions: SessionFactory) -> None:
    async with sessions() as session:
        key = await enqueue(session, handlers.write, name="one")
        await session.commit()
    async with sessions() as session:
        stored = await session.get_one(QueuedJob, key)
        assert (stored.name, stored.arguments) == ("jobs.write", {"name": "one"})


async def test_rollback_leaves_no_job(sessions: SessionFactory) -> None:
    async with sessions() as session:
        await enqueue(session, handlers.write, name="one")
        await session.rollback()
    assert await count(sessions) == 0


async def test_unknown_arguments_are_rejected(sessions: SessionFactory) -> None:
    async with sessions() as session:
        with pytest.raises(TypeError, match="missing a required argument: 'name'"):
            await enqueue(session, handlers.write, nam="one")  # type: ignore[call-arg]


async def test_one_job_per_unique_key(sessions: SessionFactory) -> None:
    unique = handlers.write.with_options(unique_key="report")
    async with sessions.begin() as session:
        assert await enqueue(session, unique, "one")
        assert await enqueue(session, unique, "two") is None
        # The transaction goes on.
        assert await enqueue(session, handlers.write, "three")
    assert await count(sessions) == 2


async def test_errors_of_pending_changes_are_not_taken_for_the_key(
    sessions: SessionFactory,
) -> None:
    async with sessions.begin() as session:
        key = await enqueue(session, handlers.write, "one")
    async with sessions() as session:
        session.add(QueuedJob(id=key, name="jobs.write", arguments={}))
        with pytest.raises(IntegrityError):
            await enqueue(session, handlers.write.with_options(unique_key="report"), "one")


async def test_order_of_priorities_and_delays(
    jobs: JobRunner, session_factory: SessionFactory
) -> None:
    async with session_factory.begin() as session:
        await enqueue(session, handlers.write.with_options(delay=timedelta(hours=1)), "later")
        await enqueue(session, handlers.write.with_options(priority=1), "last")
        await enqueue(session, handlers.write, "second")
        await enqueue(session, handlers.write.with_options(priority=-1), "first")
    async with session_factory() as session:
        claims = await claim(session, JOBS, limit=10, worker="test", lease=60)
    assert [claimed.arguments["name"] for claimed in claims] == ["first", "second", "last"]


async def test_claimed_jobs_are_not_claimed_again(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        for number in range(3):
            await enqueue(session, handlers.write, str(number))
    claimed = []
    for worker in ("one", "two", "three"):
        async with sessions() as session:
            claims = await claim(session, JOBS, limit=2, worker=worker, lease=60)
            claimed.append([row.arguments["name"] for row in claims])
    assert claimed == [["0", "1"], ["2"], []]


async def test_ended_leases_are_claimed_again(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await enqueue(session, handlers.write, "one")
    attempts = []
    for _ in range(2):
        async with sessions() as session:
            claims = await claim(session, JOBS, limit=2, worker="test", lease=-1)
            attempts += [row.attempt for row in claims]
    assert attempts == [1, 2]


async def test_a_claim_that_has_ended_changes_nothing(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await enqueue(session, handlers.write, "one")
    async with sessions() as session:
        (first,) = await claim(session, JOBS, limit=1, worker="suspended", lease=-1)
        (second,) = await claim(session, JOBS, limit=1, worker="other", lease=60)
        # The other worker takes the first one for dead, and the job has failed.
        failed = {"attempts": first.attempt, "due_at": None, "failed_at": utc_now()}
        await put_back(session, second, **failed)
        await put_back(session, first, due_at=utc_now(), attempts=0)
        (job,) = await session.scalars(select(QueuedJob))
    assert (job.attempts, job.due_at) == (1, None)


async def test_jobs_without_a_handler_stay_in_the_queue(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await enqueue(session, handlers.write, "one")
    async with sessions() as session:
        assert await claim(session, ["jobs.other"], limit=2, worker="old", lease=60) == []


async def test_cancelled_jobs_are_deleted(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await enqueue(session, handlers.write, "other")
        key = await enqueue(session, handlers.write, "one")
        await enqueue(session, handlers.write.with_options(unique_key="two"), "two")
        assert key
        assert await cancel(session, key) == 1
        assert await cancel(session, key) == 0
        assert await cancel(session, unique_key="two") == 1
        assert await cancel(session) == 0
    assert await count(sessions) == 1


def test_two_handlers_of_one_name_are_rejected() -> None:
    with pytest.raises(TypeError, match=r"jobs\.write: another handler has this name"):
        job()(handlers.write.handler)


def test_handlers_of_other_files_are_rejected() -> None:
    async def report(session: object) -> None: ...

    report.__module__ = "app.modules.item.tasks"
    with pytest.raises(TypeError, match=r"app\.modules\.item\.tasks: workers import only jobs\.py"):
        job()(report)


def test_parameters_without_names_are_rejected() -> None:
    async def report(session: object, **context: str) -> None: ...

    with pytest.raises(TypeError, match=r"jobs\.report: arguments are stored by name"):
        job()(report)  # type: ignore[arg-type]


async def test_unique_keys_are_case_sensitive(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        for key in ("reset:a", "reset:A"):
            assert await enqueue(session, handlers.write.with_options(unique_key=key), key)


async def test_arguments_may_have_the_names_of_parameters_of_enqueue(
    sessions: SessionFactory,
) -> None:
    async with sessions() as session:
        key = await enqueue(session, handlers.rerun, job="one")
        assert (await session.get_one(QueuedJob, key)).arguments == {"job": "one"}


async def test_a_worker_whose_clock_is_behind_finds_new_jobs(
    sessions: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sessions.begin() as session:
        await enqueue(session, handlers.write, "one")
    monkeypatch.setattr(queue, "utc_now", lambda: utc_now() - timedelta(seconds=4))
    async with sessions() as session:
        assert len(await claim(session, JOBS, 1, "worker", 60)) == 1


async def test_errors_of_arguments_do_not_quote_them(sessions: SessionFactory) -> None:
    async with sessions() as session:
        with pytest.raises(ValidationError) as raised:
            await handlers.write(session, ["s3cret"])  # type: ignore[arg-type]
    assert "s3cret" not in str(raised.value)
