"""Traces and metrics through OpenTelemetry, once the standard variables name a collector.

FastAPI traces requests and exports; what it lacks is a span for each statement. The contributed
instrumentation refuses SQLAlchemy 2.1, and puts into its spans what a failing value was.
"""

import logging
import os
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider, SpanKind, StatusCode
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Scope

from app.core.settings import FROM_ENVIRONMENT, read_settings

PROBES = ("/health/live", "/health/ready")

logger = logging.getLogger(__name__)


class TelemetrySettings(BaseSettings):
    """Whatever `.env` sets: where a class names no fields, all are extra ones, and of the file."""

    model_config = FROM_ENVIRONMENT | SettingsConfigDict(extra="allow")


def configure_telemetry() -> TelemetryConfig:
    """Return what `FastAPI(telemetry=…)` takes; warn if a collector is named in vain."""
    for name, value in (read_settings(TelemetrySettings).model_extra or {}).items():
        if name.startswith("otel_"):
            # OpenTelemetry itself knows no `.env`.
            os.environ.setdefault(name.upper(), value)
    # A process that ends waits for a collector that is down: ten seconds, were it not for this.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    return {
        "auto_configure": _names_collector() and _can_export(),
        "exclude": _is_probe,
        # The message of an exception may quote what is stored.
        "logs": False,
        # They take a fifth of the throughput: a span for each dependency, endpoint and response.
        "operation_spans": False,
    }


def _names_collector() -> bool:
    return any(
        name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("_ENDPOINT") and value
        for name, value in os.environ.items()
    )


def _can_export() -> bool:
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        logger.warning("No telemetry is sent: install its exporter by uv sync --extra telemetry.")
        return False
    return True


def _is_probe(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith(PROBES)


def trace_statements(engine: AsyncEngine) -> None:
    """Give each statement of a traced request a span, without parameters; else do nothing."""
    if isinstance(trace.get_tracer_provider(), ProxyTracerProvider):
        return
    tracer = trace.get_tracer(__name__)
    database = {"db.system.name": engine.dialect.name, "db.namespace": engine.url.database or ""}

    def start(statement: str, context: Any, **_: Any) -> None:
        if trace.get_current_span().is_recording():
            operation = "".join(statement.split(maxsplit=1)[:1]).upper()
            attributes = {"db.operation.name": operation, "db.query.text": statement}
            context.span = tracer.start_span(
                operation, kind=SpanKind.CLIENT, attributes=database | attributes
            )

    def end(context: Any, **_: Any) -> None:
        if span := getattr(context, "span", None):
            span.end()

    def fail(failure: ExceptionContext) -> None:
        if span := getattr(failure.execution_context, "span", None):
            span.set_attribute("error.type", type(failure.original_exception).__qualname__)
            span.set_status(StatusCode.ERROR)
            span.end()

    event.listen(engine.sync_engine, "before_cursor_execute", start, named=True)
    event.listen(engine.sync_engine, "after_cursor_execute", end, named=True)
    event.listen(engine.sync_engine, "handle_error", fail)
