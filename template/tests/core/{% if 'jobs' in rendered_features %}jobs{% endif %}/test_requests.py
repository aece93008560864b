"""Jobs are enqueued in the transaction of a request, and keep its id."""

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.core.database import SessionDep, SessionFactory
from app.core.errors import ConflictError
from app.core.jobs import enqueue
from app.core.jobs.models import QueuedJob
from tests.core.jobs import handlers
from tests.core.jobs.fixtures import JobRunner


@pytest.fixture
def client(app: FastAPI, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    @app.post("/work")
    async def work(session: SessionDep, name: str) -> None:
        await enqueue(session, handlers.do_nothing, name)
        if name == "conflict":
            raise ConflictError("conflict")

    return client


async def test_jobs_of_a_request_are_run_and_shown(
    client: httpx2.AsyncClient, jobs: JobRunner
) -> None:
    assert (await client.post("/work?name=one")).status_code == 200
    assert await jobs.waiting() == [("jobs.do_nothing", {"name": "one"})]
    assert await jobs.run() == ["jobs.do_nothing"]
    assert await jobs.waiting() == []


async def test_requests_that_fail_enqueue_nothing(
    client: httpx2.AsyncClient, jobs: JobRunner
) -> None:
    assert (await client.post("/work?name=conflict")).status_code == 409
    assert await jobs.waiting() == []


async def test_jobs_keep_the_id_of_their_request(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    await client.post("/work?name=one", headers={"X-Request-ID": "a-1"})
    async with session_factory() as session:
        (job,) = await session.scalars(select(QueuedJob))
    assert job.request_id == "a-1"
