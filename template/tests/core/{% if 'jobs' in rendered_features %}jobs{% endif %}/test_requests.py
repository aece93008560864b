"""Jobs are enqueued in the transaction of a request, and know where they come from."""

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select

from app.core.database import SessionDep, SessionFactory
from app.core.errors import ConflictError
from app.core.jobs import enqueue, telemetry
from app.core.jobs.models import QueuedJob
from tests.core.jobs import handlers
from tests.core.jobs.conftest import Effects, Working, until
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


async def test_traces_of_jobs_are_linked_to_the_request(
    sessions: SessionFactory, working: Working, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    monkeypatch.setattr(telemetry, "tracer", tracer)
    with tracer.start_as_current_span("request") as request:
        async with sessions.begin() as session:
            await enqueue(session, handlers.write, "one")

    async def is_done() -> bool:
        return len(exporter.get_finished_spans()) == 2

    async with working():
        await until(is_done)
    _, span = exporter.get_finished_spans()
    assert span.name == "jobs.write"
    (link,) = span.links
    origin = request.get_span_context()
    assert (link.context.trace_id, link.context.span_id) == (origin.trace_id, origin.span_id)
    assert span.attributes
    assert (span.attributes["job.outcome"], span.attributes["job.attempt"]) == ("done", 1)
    assert await effects() == ["one"]
