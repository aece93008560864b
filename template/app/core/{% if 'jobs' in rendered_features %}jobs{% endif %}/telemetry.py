"""Traces and metrics of jobs, exported as those of the application."""

from collections.abc import Awaitable, Callable
from functools import wraps
from time import monotonic
from typing import Any, TypeAlias

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.core.database import SessionFactory
from app.core.jobs.models import Claim
from app.core.jobs.settings import JobsSettings
from app.core.telemetry import configure_telemetry

# Runs an attempt, and returns its outcome.
Run: TypeAlias = Callable[[Claim, SessionFactory, JobsSettings], Awaitable[str]]

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


def traceparent() -> str | None:
    """Return the `traceparent` header of the active span; None if there is no trace."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def measured(run: Run) -> Run:
    """Trace attempts, linked to the request that enqueued the job, and record their duration."""

    @wraps(run)
    async def run_measured(claimed: Claim, sessions: SessionFactory, settings: JobsSettings) -> str:
        outcome = "interrupted"
        started = monotonic()
        with tracer.start_as_current_span(
            claimed.name, kind=trace.SpanKind.CONSUMER, links=_links(claimed.traceparent)
        ) as span:
            span.set_attributes({"job.id": str(claimed.id), "job.attempt": claimed.attempt})
            try:
                outcome = await run(claimed, sessions, settings)
            finally:
                attributes = {"job.name": claimed.name, "job.outcome": outcome}
                span.set_attributes(attributes)
                if outcome in {"retried", "failed"}:
                    span.set_status(trace.StatusCode.ERROR)
                duration.record(monotonic() - started, attributes)
        return outcome

    return run_measured


def _links(traceparent: str | None) -> list[trace.Link]:
    if not traceparent:
        return []
    origin = trace.get_current_span(
        TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    )
    return [trace.Link(origin.get_span_context())]
