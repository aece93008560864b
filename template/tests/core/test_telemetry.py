"""OpenTelemetry's providers are of a whole process, so these applications have one of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic_settings import SettingsConfigDict

from app.core import telemetry
from app.core.settings import PROJECT_ROOT, Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"

# Prints what an application answers and logs, and what is there of OpenTelemetry: first without a
# collector, then with the one named in the second argument.
ASK = """
import io, json, os, sys
from fastapi.testclient import TestClient
from opentelemetry import trace
from sqlalchemy import text
from app.core.database import SessionDep
from app.main import create_app

async def read(session: SessionDep, key: str):
    return await session.scalar(text("SELECT :secret"), {"secret": "hush"})

async def fail(session: SessionDep):
    await session.execute(text("SELECT :secret FROM test__missing"), {"secret": "hush"})

headers = {"traceparent": sys.argv[1]}
for endpoint in ("", sys.argv[2]):
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    sys.stderr = io.StringIO()
    app = create_app()
    app.get("/read/{key}")(read)
    app.get("/fail")(fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        answers = [client.get("/read/1", headers=headers).json()]
        answers += [client.get(path).status_code for path in ("/fail", "/health/ready")]
    imported = [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
    provider = type(trace.get_tracer_provider()).__name__
    logged = sys.stderr.getvalue()
    found = {"answers": answers, "imported": imported, "provider": provider}
    print(json.dumps([found, logged]))
"""
ANSWERS = ["hush", 500, 200]


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[Span] = []
        self.received = b""


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received += body
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


def ask(settings: Settings, endpoint: str) -> list[tuple[dict[str, Any], str]]:
    """Return what an application in another process answers, and what it logs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    url = settings.database.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", ASK, f"00-{TRACE}-{PARENT}-01", endpoint],
        cwd=PROJECT_ROOT,
        env=inherited | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def asked(collector: Collector, settings: Settings) -> list[tuple[dict[str, Any], str]]:
    """What `ask` returned without a collector, and with one."""
    return ask(settings, f"http://127.0.0.1:{collector.server_port}")


@pytest.fixture
def traced(collector: Collector, asked: list[tuple[dict[str, Any], str]]) -> Collector:
    """A collector that has everything of an application which has stopped."""
    assert asked[1][0]["answers"] == ANSWERS
    return collector


def span_of(collector: Collector, name: str, parent: bytes | None = None) -> Span:
    """Return the only span of this name, below that parent."""
    (span,) = (
        span
        for span in collector.spans
        if span.name == name and parent in (None, span.parent_span_id)
    )
    return span


def attributes_of(span: Span) -> dict[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in span.attributes}


@pytest.mark.process
def test_a_request_continues_the_trace_of_its_client(traced: Collector) -> None:
    span = span_of(traced, "GET /read/{key}")
    assert span.kind == Span.SPAN_KIND_SERVER
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)


@pytest.mark.process
def test_each_statement_is_a_span_of_its_request(traced: Collector, settings: Settings) -> None:
    request = span_of(traced, "GET /read/{key}")
    span = span_of(traced, "SELECT", request.span_id)
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert span.trace_id == request.trace_id
    assert request.start_time_unix_nano <= span.start_time_unix_nano < span.end_time_unix_nano
    found = attributes_of(span)
    assert found["db.system.name"] == settings.database.url.get_backend_name()
    assert found["db.query.text"].startswith("SELECT ")


@pytest.mark.process
def test_a_failed_statement_records_no_values(traced: Collector) -> None:
    request = span_of(traced, "GET /fail")
    span = span_of(traced, "SELECT", request.span_id)
    assert span.status.code == request.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(span)["error.type"].endswith("Error")
    assert b"missing" in traced.received
    assert b"hush" not in traced.received


@pytest.mark.process
def test_probes_are_not_traced(traced: Collector) -> None:
    assert {span.name for span in traced.spans if not span.parent_span_id} == {"GET /fail"}


@pytest.mark.process
def test_the_sdk_is_not_imported_without_a_collector(
    asked: list[tuple[dict[str, Any], str]],
) -> None:
    found, logged = asked[0]
    assert found == {"answers": ANSWERS, "imported": [], "provider": "ProxyTracerProvider"}
    assert "telemetry" not in logged


def test_a_missing_exporter_is_logged_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")
    assert telemetry.configure_telemetry()["auto_configure"]
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    assert not telemetry.configure_telemetry()["auto_configure"]
    assert [record.message for record in caplog.records] == [
        "Telemetry disabled: the exporter is not installed; run `uv sync --extra telemetry`."
    ]


def test_the_env_file_can_configure_the_collector(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text("OTEL_SERVICE_NAME=shop\nOTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n")
    config = telemetry.TelemetrySettings.model_config | SettingsConfigDict(env_file=file)
    monkeypatch.setattr(telemetry.TelemetrySettings, "model_config", config)
    monkeypatch.setattr(os, "environ", os.environ | {"OTEL_SERVICE_NAME": "mine"})
    assert telemetry.configure_telemetry()["auto_configure"]
    assert os.environ["OTEL_SERVICE_NAME"] == "mine"
