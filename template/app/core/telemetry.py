"""OpenTelemetry traces and metrics, enabled by the standard OTEL_EXPORTER_OTLP_* variables.

FastAPI traces and exports requests; this adds a span for each SQL statement. The contrib
instrumentation does not support SQLAlchemy 2.1, and records the values of failed statements.
"""

import logging
import os
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider, SpanKind, StatusCode
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.settings import EnvironmentSettings, read_settings

PROBES = ("/health/live", "/health/ready")

logger = logging.getLogger(__name__)


class TelemetrySettings(EnvironmentSettings, extra="allow"):
    """All variables of `.env`: a settings class without fields takes extras from the file only."""


def configure_telemetry() -> TelemetryConfig:
    """Return the value of `FastAPI(telemetry=…)`; warn if the exporter is not installed."""
    for name, value in (read_settings(TelemetrySettings).model_extra or {}).items():
        if name.startswith("otel_"):
            # OpenTelemetry does not read `.env`.
            os.environ.setdefault(name.upper(), value)
    # By default, a process waits 10 seconds at exit for an unreachable collector.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    return {
        "auto_configure": _is_collector_configured() and _is_exporter_installed(),
        "exclude": lambda scope: scope["path"].endswith(PROBES),
        # Exception messages may quote stored values.
        "logs": False,
        # A span per dependency, endpoint and response costs a fifth of the throughput.
        "operation_spans": False,
    }


def _is_collector_configured() -> bool:
    return any(
        name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("_ENDPOINT") and value
        for name, value in os.environ.items()
    )


def _is_exporter_installed() -> bool:
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        logger.warning(
            "Telemetry disabled: the exporter is not installed; run `uv sync --extra telemetry`."
        )
        return False
    return True


def trace_statements(engine: AsyncEngine) -> None:
    """Add a span for each statement of a traced request, without parameters."""
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
