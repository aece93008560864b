"""Traces and metrics of jobs, exported as those of the application."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.core.jobs.queue import Claim
from app.core.telemetry import configure_telemetry

tracer = trace.get_tracer(__name__)
duration = metrics.get_meter(__name__).create_histogram(
    "job.duration", unit="s", description="Duration of one attempt of a job, by its outcome."
)


async def configure_exporters() -> None:
    """Set up the exporters that the application has.

    FastAPI does so only when an application starts; the shutdown of this empty one just flushes.
    """
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        pass

    await FastAPI(telemetry=configure_telemetry())({"type": "lifespan"}, receive, send)


@contextmanager
def measure(claimed: Claim) -> Iterator[dict[str, Any]]:
    """Trace an attempt, linked to the request that enqueued the job, and record its duration.

    The caller adds its outcome to what this yields.
    """
    attributes: dict[str, Any] = {"job.name": claimed.name, "job.outcome": "interrupted"}
    links = []
    if claimed.traceparent:
        carrier = {"traceparent": claimed.traceparent}
        origin = trace.get_current_span(TraceContextTextMapPropagator().extract(carrier))
        links = [trace.Link(origin.get_span_context())]
    started = monotonic()
    with tracer.start_as_current_span(
        claimed.name, kind=trace.SpanKind.CONSUMER, links=links
    ) as span:
        span.set_attributes({"job.id": str(claimed.id), "job.attempt": claimed.attempt})
        try:
            yield attributes
        finally:
            span.set_attributes(attributes)
            if attributes["job.outcome"] in {"retried", "failed"}:
                span.set_status(trace.StatusCode.ERROR)
            duration.record(monotonic() - started, attributes)
