"""Mails are sent by a worker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from app.core.database import SessionFactory, create_session_factory
from app.core.jobs.models import QueuedJob
from app.core.jobs.settings import JobsSettings
from app.core.jobs.worker import Worker
from app.core.mail import send_mail
from tests.core.jobs.conftest import until
from tests.core.mail.smtp_server import MailServer


@pytest.fixture
async def sessions(engine: AsyncEngine) -> AsyncIterator[SessionFactory]:
    """Sessions that commit."""
    factory = create_session_factory(engine)
    yield factory
    async with factory.begin() as session:
        await session.execute(delete(QueuedJob))


@pytest.fixture
async def worker(engine: AsyncEngine) -> AsyncIterator[None]:
    worker = Worker(engine, JobsSettings(poll_interval=0.02, retry_wait=0.001, retry_max_wait=0.02))
    # By default, structlog takes seconds to show an error.
    with capture_logs():
        task = asyncio.create_task(worker.run())
        yield
        worker.stop()
        await task


Jobs = Callable[[], Awaitable[Sequence[QueuedJob]]]


@pytest.fixture
async def jobs(sessions: SessionFactory) -> Jobs:
    """`await jobs()` returns the jobs that wait, run or failed."""

    async def read() -> Sequence[QueuedJob]:
        async with sessions() as session:
            return (await session.scalars(select(QueuedJob))).all()

    return read


async def enqueue_mail(sessions: SessionFactory) -> None:
    async with sessions.begin() as session:
        await send_mail(session, to="bob@example.com", template="welcome", name="Bob")


@pytest.mark.usefixtures("worker", "templates")
async def test_a_mail_is_sent_once_the_server_is_back(
    sessions: SessionFactory, jobs: Jobs, server: MailServer, configure: Callable[..., None]
) -> None:
    async def was_retried() -> bool:
        return (await jobs())[0].attempts > 2

    async def is_sent() -> bool:
        return not await jobs()

    async with server.listen():
        configure(port=server.port)
    await enqueue_mail(sessions)
    await until(was_retried)
    [job] = await jobs()
    async with server.listen():
        await until(is_sent)
    assert (job.error or "").startswith("SMTPConnectError: Error connecting to localhost on port ")
    assert [mail["Message-ID"] for mail in server.received] == [f"<{job.id}@example.com>"]


@pytest.mark.usefixtures("worker", "templates")
async def test_a_refused_mail_is_kept_as_a_failed_job(
    sessions: SessionFactory, jobs: Jobs, server: MailServer, configure: Callable[..., None]
) -> None:
    async def has_failed() -> bool:
        return (await jobs())[0].failed_at is not None

    server.recipient_reply = "550 5.1.1 No such user"
    async with server.listen():
        configure(port=server.port)
        await enqueue_mail(sessions)
        await until(has_failed)
    [job] = await jobs()
    assert job.attempts == 1
    assert job.error == "PermanentError: localhost refused the mail: 550 5.1.1 No such user"
