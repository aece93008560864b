"""Requests to a served project."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.projects import Served

# Seconds: for an answer, until a database that is back is used.
RESPONSE_TIMEOUT = 20


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def is_problem(self, *statuses: int) -> bool:
        kind = self.headers.get("content-type")
        return self.status in statuses and kind == "application/problem+json"


@dataclass(frozen=True)
class Application:
    """The project as it is served, and what to ask of it."""

    served: Served

    @property
    def port(self) -> int:
        return urlsplit(self.served.address).port or 0

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Iterator[HTTPResponse]:
        """Send a request; yield its answer before it is read."""
        with closing(
            HTTPConnection("127.0.0.1", self.port, timeout=RESPONSE_TIMEOUT)
        ) as connection:
            sent = {"content-type": "application/json"} if body else {}
            connection.request(
                method, f"{path}?{urlencode(query)}", body, sent | dict(headers or {})
            )
            yield connection.getresponse()

    def ask(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Answer:
        with self.open(method, path, body, headers, **query) as response:
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    def write(self, name: str) -> Answer:
        return self.ask("POST", "/api/v1/items", json.dumps({"name": name}))

    def names(self) -> list[str]:
        names: list[str] = self.json("/names")
        return names

    def json(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def leave(self, path: str, **query: object) -> None:
        """Send a request and go away without its answer."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            request = f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: test\r\n\r\n"
            connection.sendall(request.encode())
            time.sleep(0.02)


def wait_for(condition: Callable[[], bool], seconds: float = RESPONSE_TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
