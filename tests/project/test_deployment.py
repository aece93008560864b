"""The behaviour of a served project, with the options in docs/deployment.md."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.support.projects import Project, Served

SECONDS = 20


def documented_options(page: str) -> dict[str, str]:
    """Return the options for a server without a proxy, as the variables that uvicorn reads."""
    section = page.partition("## Without a proxy")[2].partition("## Limits")[0]
    options = re.findall(r"--(http|h11-\S+|limit-\S+) (\w+)", section)
    return {f"UVICORN_{name.upper().replace('-', '_')}": value for name, value in options}


@pytest.fixture(scope="module")
def served(
    lasting_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A served project without applied migrations, whose lists fail."""
    made = lasting_project("sqlite")
    options = documented_options((made.path / "docs/deployment.md").read_text("utf-8"))
    assert len(options) == 3
    empty = tmp_path_factory.mktemp("empty") / "app.db"
    with made.serve(f"sqlite:///{empty}", **options) as served:
        yield served


def exchange(served: Served, sent: bytes) -> bytes:
    """Return everything received until the connection closes; nothing if it is reset."""
    address = urlsplit(served.address)
    with socket.create_connection((address.hostname, address.port), SECONDS) as connection:
        try:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


def test_large_headers_are_rejected(served: Served) -> None:
    for size, accepted in ((8192, True), (1_000_000, False)):
        request = b"GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Large: "
        answer = exchange(served, request + b"." * size + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200") is accepted


def test_unexpected_error_closes_the_connection_and_is_logged_once(served: Served) -> None:
    request = b"GET /api/v1/items HTTP/1.1\r\nHost: test\r\nX-Request-ID: broken\r\n\r\n"
    head = exchange(served, request).partition(b"\r\n\r\n")[0].lower()
    assert b" 500 " in head
    assert b"connection: close" in head
    lines = [json.loads(line) for line in served.log.read_text("utf-8").splitlines()]
    [failed] = [line for line in lines if "exception" in line]
    assert failed["request_id"] == "broken"
    assert "no such table" in failed["exception"]


def test_connection_stays_open_after_a_head_request(served: Served) -> None:
    with closing(HTTPConnection(urlsplit(served.address).netloc, timeout=SECONDS)) as connection:
        for path, status in (("/health/live", 200), ("/docs", 200), ("/nowhere", 404)):
            lengths = set()
            for method in ("GET", "HEAD"):
                connection.request(method, path)
                response = connection.getresponse()
                assert response.status == status
                assert bool(response.read()) == (method == "GET")
                lengths.add(response.headers["Content-Length"])
            assert len(lengths) == 1
