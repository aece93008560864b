import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.core.database import SessionFactory
from app.core.jobs import enqueue, telemetry
from tests.core.jobs import handlers
from tests.core.jobs.conftest import Effects, Working, until


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
