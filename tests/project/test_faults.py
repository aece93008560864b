"""What a served project does when its database, its clients or its own process fail it."""

import json
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from threading import Event
from typing import Any

import pytest

from tests.support.applications import Answer, Application, wait_for
from tests.support.projects import DATABASES, SECONDS_TO_STOP, SUPPORT, Project
from tests.support.stoppable_server import Server, migrated_server

POOL_SIZE = 3
POOL_TIMEOUT = 1
WRITERS = 4
RECOVERY_TIMEOUT = 15

# MySQL has moved the table that MariaDB keeps.
STATUS_SCHEMA = "information_schema" if shutil.which("mariadbd") else "performance_schema"
# Open sessions, and those whose client was lost or left without closing them.
SESSIONS = {
    "postgresql": "(SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'),"
    " (SELECT sum(sessions_abandoned) FROM pg_stat_database)",
    "mysql": "(SELECT count(*) FROM information_schema.processlist"
    " WHERE id <> connection_id() AND user = 'root'),"
    f" (SELECT variable_value FROM {STATUS_SCHEMA}.global_status"
    " WHERE variable_name = 'Aborted_clients')",
    "sqlite": "0, 0",
}


@contextmanager
def serve(project: Project, url: str, **variables: str) -> Iterator[Application]:
    settings = {
        "DATABASE_POOL_SIZE": str(POOL_SIZE),
        "DATABASE_POOL_TIMEOUT": str(POOL_TIMEOUT),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    with project.serve(url, "faulty_application:create_app", **settings) as served:
        yield Application(served)


@pytest.fixture(scope="module", params=DATABASES)
def server(
    request: pytest.FixtureRequest, lasting_project: Callable[..., Project]
) -> Iterator[Server]:
    """A server of each kind, migrated; all tests of this file share its project."""
    project = lasting_project(request.param)
    for script in ("faulty_application.py", "cancel_requests.py"):
        shutil.copy(SUPPORT / script, project.path)
    with migrated_server(project) as server:
        yield server


@pytest.fixture(scope="module")
def application(server: Server) -> Iterator[Application]:
    with serve(server.project, server.url) as application:
        yield application


@pytest.fixture(scope="module")
def impatient(server: Server) -> Iterator[Application]:
    """An application that gives a request one second and its commit three."""
    limits = {"REQUEST_TIMEOUT": "1", "DATABASE_STATEMENT_TIMEOUT": "3"}
    with serve(server.project, server.url, **limits) as application:
        yield application
        log = application.served.log.read_text()
    assert "never retrieved" not in log
    assert "Traceback" not in log.partition("Shutting down")[2]


# A file neither restarts nor has a port; a server has no file to lock.
on_servers = pytest.mark.parametrize(
    "server", ["postgresql", "mysql"], indirect=True, scope="module"
)
on_files = pytest.mark.parametrize("server", ["sqlite"], indirect=True, scope="module")


@on_servers
def test_no_acknowledged_write_is_lost_while_the_database_restarts(
    server: Server, application: Application
) -> None:
    stop = Event()
    acknowledged: set[str] = set()
    refused: list[Answer] = []

    def write(writer: int) -> None:
        for number in count():
            if stop.is_set():
                return
            name = f"restart-{writer}-{number}"
            answer = application.write(name)
            if answer.status == 201:
                acknowledged.add(name)
            else:
                refused.append(answer)
                time.sleep(0.05)

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, writer) for writer in range(WRITERS)]
        try:
            wait_for(lambda: len(acknowledged) >= 50)
            server.stop()
            wait_for(lambda: len(refused) >= 3 * WRITERS)
            before = len(acknowledged)
            down = application.write("restart-down")
            assert application.ask("GET", "/health/ready").is_problem(503)
            assert application.ask("GET", "/health/live").status == 200
            assert len(acknowledged) == before
            server.start()
            wait_for(lambda: len(acknowledged) >= before + 50, RECOVERY_TIMEOUT)
        finally:
            stop.set()
    for writer in writers:
        writer.result()
    assert application.ask("GET", "/health/ready").status == 200
    assert acknowledged <= set(application.names())
    # 504: the server stopped during the commit.
    assert [answer for answer in refused if not answer.is_problem(503, 504)] == []
    assert down.is_problem(503)
    assert down.headers["retry-after"].isdecimal()


@on_servers
def test_a_refused_connection_is_unavailable(server: Server) -> None:
    with socket.socket() as closed:
        # Bound, so that no other process takes the port, but not listening.
        closed.bind(("127.0.0.1", 0))
        url = f"{server.database}://root@127.0.0.1:{closed.getsockname()[1]}/app"
        with serve(server.project, url) as application:
            answers = [application.ask("GET", "/api/v1/items"), application.write("refused")]
            assert application.ask("GET", "/health/ready").is_problem(503)
            assert application.ask("GET", "/health/live").status == 200
    assert [answer for answer in answers if not answer.is_problem(503)] == []
    assert all(answer.headers["retry-after"].isdecimal() for answer in answers)


@on_servers
def test_a_commit_that_has_begun_outlasts_the_request_timeout(impatient: Application) -> None:
    started = time.monotonic()
    answer = impatient.ask("POST", "/write_slowly", name="late", seconds=1.5)
    assert time.monotonic() - started > 1.5
    assert answer.status == 201, answer
    assert impatient.names().count("late") == 1


@on_servers
@pytest.mark.parametrize(("seconds", "kill"), [(4, False), (1.5, True)], ids=["silent", "killed"])
def test_an_unconfirmed_commit_is_a_504_without_retry_after(
    impatient: Application, seconds: float, kill: bool
) -> None:
    query: dict[str, Any] = {"name": f"unknown-{kill}", "seconds": seconds, "kill": kill}
    started = time.monotonic()
    answer = impatient.ask("POST", "/write_slowly", **query)
    # A connection can take up to two more seconds to close.
    assert time.monotonic() - started < 6
    assert answer.is_problem(504), answer
    assert "retry-after" not in answer.headers
    assert b"outcome of the commit is unknown" in answer.body
    wait_for(lambda: impatient.json("/checked_out") == 0)
    assert impatient.write(f"after-{kill}").status == 201


@pytest.mark.parametrize("server", ["postgresql", "sqlite"], indirect=True, scope="module")
def test_a_commit_that_the_database_refuses_is_a_conflict(application: Application) -> None:
    assert application.ask("POST", "/clash").is_problem(409)


@on_files
def test_a_locked_sqlite_file_stops_writers_only(server: Server, application: Application) -> None:
    file = server.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with ThreadPoolExecutor(1) as pool:
            write = pool.submit(application.write, "locked")
            time.sleep(0.2)
            started = time.monotonic()
            assert application.ask("GET", "/health/ready").status == 200
            assert application.ask("GET", "/api/v1/items").status == 200
            assert time.monotonic() - started < POOL_TIMEOUT
        assert write.result().is_problem(503)
        other.execute("ROLLBACK")
    assert "locked" not in application.names()
    assert application.write("unlocked").status == 201


def test_clients_that_go_away_leave_no_connection(server: Server, application: Application) -> None:
    for _ in range(50):
        application.leave("/read", seconds=0.1)
    wait_for(lambda: application.json("/checked_out") == 0)
    assert application.json("/running") == 0
    started = time.monotonic()
    assert application.write("after").status == 201
    assert time.monotonic() - started < POOL_TIMEOUT


def test_cancelled_requests_leave_no_connection(server: Server) -> None:
    printed = server.project.python(
        "cancel_requests.py",
        "50",
        DATABASE_URL=server.url,
        DATABASE_POOL_SIZE=str(POOL_SIZE),
        PYTHONWARNINGS="error",
    ).stdout
    assert json.loads(printed.splitlines()[-1]) == {"checked_out": 0}


def test_an_exhausted_pool_is_unavailable_in_bounded_time(application: Application) -> None:
    with ThreadPoolExecutor(POOL_SIZE) as pool:
        slow = [
            pool.submit(application.ask, "GET", "/read", seconds=POOL_TIMEOUT + 1)
            for _ in range(POOL_SIZE)
        ]
        wait_for(lambda: application.json("/checked_out") == POOL_SIZE)
        started = time.monotonic()
        answer = application.ask("GET", "/api/v1/items")
        seconds = time.monotonic() - started
    assert [future.result().status for future in slow] == [200] * POOL_SIZE
    assert POOL_TIMEOUT <= seconds < POOL_TIMEOUT + 0.9
    assert answer.is_problem(503)
    assert answer.headers["retry-after"].isdecimal()


def test_streams_hold_no_connection(application: Application) -> None:
    with ExitStack() as stack:
        streams = [
            stack.enter_context(application.open("GET", "/stream")) for _ in range(POOL_SIZE)
        ]
        for stream in streams:
            stream.read(1)
        # They wait for their readers now.
        time.sleep(0.3)
        started = time.monotonic()
        assert application.write("streamed").status == 201
        assert time.monotonic() - started < POOL_TIMEOUT
        lengths = {1 + len(stream.read()) for stream in streams}
    assert lengths == {100 * 65536}


def test_sigterm_lets_requests_finish(server: Server, application: Application) -> None:
    # On MariaDB, what a cancelled request asked runs to its end.
    wait_for(lambda: application.json("/running") == 0)
    ((*sessions, written),) = state(server)
    assert written == 0
    with (
        ThreadPoolExecutor(1) as pool,
        serve(server.project, server.url) as stopping,
    ):
        write = pool.submit(stopping.ask, "POST", "/write", name="stopped", seconds=1.5)
        wait_for(lambda: stopping.json("/checked_out") == 1)
        # Another connection, which is idle then.
        assert stopping.ask("GET", "/health/ready").status == 200
        stopping.served.process.send_signal(signal.SIGTERM)
        assert write.result().status == 200
        # Once all is done, uvicorn lets the signal end the process, as if it had not caught it.
        assert stopping.served.process.wait(SECONDS_TO_STOP) == -signal.SIGTERM
    assert "Application shutdown complete." in stopping.served.log.read_text()
    assert state(server) == [[*sessions, 1]]


def state(server: Server) -> list[list[Any]]:
    """Return how many sessions there are, and were lost, and rows of the request in flight."""
    written = "(SELECT count(*) FROM item WHERE name = 'stopped')"
    return server.project.sql(server.url, f"SELECT {SESSIONS[server.database]}, {written}")
