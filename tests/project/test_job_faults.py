"""Faults of workers, databases, clocks and handlers: no job is lost, no effect happens twice."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.applications import Application, wait_for
from tests.support.projects import DATABASES, SECONDS_TO_STOP, SUPPORT, Project, clean_environment
from tests.support.stoppable_server import Server, migrated_server

# Seconds. So short that a slow machine ends leases, too, where a test does not set another one.
LEASE = 0.6
SETTINGS = {
    "JOBS_LEASE": str(LEASE),
    "JOBS_POLL_INTERVAL": "0.05",
    "JOBS_RETRY_WAIT": "0.05",
    "JOBS_CONCURRENCY": "5",
}
TIMEOUT = 60
LONG_LEASE = {"JOBS_LEASE": "60"}
# The name of a handler, and arguments.
Job: TypeAlias = tuple[str, dict[str, Any]]


@dataclass
class Outcome:
    """What run_workers.py prints."""

    # Names and descriptions, by name.
    items: list[tuple[str, str]]
    # Handlers, attempts and errors of failed jobs.
    failed: list[tuple[str, int, str]]
    left: int
    cancelled: int
    deaths: int
    statuses: list[int]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.items]


@dataclass
class Jobs:
    """Jobs on a server, and the workers that run them."""

    server: Server
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        return {"DATABASE_URL": self.server.url, "JOBS_FOLDER": str(self.folder), **SETTINGS}

    def run(
        self, jobs: list[Job] | None, *, variables: dict[str, str] | None = None, **plan: Any
    ) -> Outcome:
        """Enqueue jobs, and run them: see `Plan` in run_workers.py."""
        plan["jobs"] = jobs and [(f"item.{name}", arguments) for name, arguments in jobs]
        printed = self.server.project.python(
            "run_workers.py", json.dumps(plan), status=0, **self.variables | (variables or {})
        ).stdout
        print(printed)
        outcome = Outcome(**json.loads(printed.splitlines()[-1]))
        outcome.items = [(name, text) for name, text in outcome.items]
        # SIGTERM ends a worker that has just started, and killed workers are not replaced any more.
        assert {*outcome.statuses} <= {0, -signal.SIGTERM, -signal.SIGKILL}
        return outcome

    def enqueue(self, jobs: list[Job]) -> None:
        """Replace all rows by jobs."""
        self.run(jobs, clocks=[], max_seconds=0)

    def wait(self) -> Outcome:
        """Return when no job is left."""
        return self.run(None, clocks=[])

    def started(self) -> int:
        """Return how many jobs that leave a file have begun."""
        return len([*self.folder.iterdir()])

    @contextmanager
    def worker(self, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `python -m app.worker`, and end it by SIGTERM."""
        with subprocess.Popen(
            [self.server.project.program("python"), "-m", "app.worker"],
            cwd=self.server.project.path,
            env=clean_environment(self.server.project.path) | self.variables | variables,
        ) as process:
            try:
                yield process
                process.terminate()
                assert process.wait(SECONDS_TO_STOP) == 0
            finally:
                process.kill()

    @contextmanager
    def replica(self) -> Iterator[Application]:
        """Serve enqueueing_application.py."""
        application = "enqueueing_application:create_app"
        with self.server.project.serve(self.server.url, application) as served:
            yield Application(served)


@pytest.fixture(scope="module", params=DATABASES)
def server(
    request: pytest.FixtureRequest, lasting_project: Callable[..., Project]
) -> Iterator[Server]:
    """A server of each kind, migrated; all tests of this file share its project."""
    project = lasting_project(request.param, features=["jobs"])
    for script in ("run_workers.py", "enqueueing_application.py", "faulty_application.py"):
        shutil.copy(SUPPORT / script, project.path)
    shutil.copy(SUPPORT / "faulty_jobs.py", project.path / "app/modules/item/jobs.py")
    with migrated_server(project) as server:
        yield server


@pytest.fixture
def jobs(server: Server, tmp_path: Path) -> Jobs:
    return Jobs(server, tmp_path)


on_servers = pytest.mark.parametrize(
    "server", ["postgresql", "mysql"], indirect=True, scope="module"
)


def writes(count: int, **arguments: Any) -> list[Job]:
    return [("write", {"name": f"job-{number:03}", **arguments}) for number in range(count)]


def waits(count: int, seconds: float) -> list[Job]:
    return [
        ("wait_once", {"name": f"job-{number:03}", "seconds": seconds}) for number in range(count)
    ]


def names(jobs: list[Job]) -> list[str]:
    return sorted(arguments["name"] for _, arguments in jobs)


@pytest.mark.long
def test_killed_workers_neither_lose_nor_repeat_jobs(jobs: Jobs) -> None:
    enqueued = [
        ("write", {"name": f"job-{number:03}", "before": random.uniform(0, 0.05)})
        for number in range(300)
    ]
    outcome = jobs.run(enqueued, clocks=[0, 0, 0], kills=12)
    assert outcome.names == names(enqueued)
    assert (outcome.left, outcome.failed) == (0, [])
    assert outcome.deaths >= 3


def test_a_worker_that_is_killed_around_a_commit(jobs: Jobs) -> None:
    moments = [("before_commit", 0.0), ("after_commit", 0.0)]
    # While the database commits.
    moments += [("before_commit", 0.0002 * number) for number in range(1, 11)]
    enqueued = [
        ("die", {"name": f"{moment}-{delay:.4f}", "moment": moment, "delay": delay})
        for moment, delay in moments
    ] + writes(20)
    outcome = jobs.run(enqueued)
    assert outcome.names == names(enqueued)
    assert (outcome.left, outcome.failed) == (0, [])
    assert outcome.deaths >= 2


def test_a_lease_that_ends_while_the_worker_is_blocked(jobs: Jobs) -> None:
    outcome = jobs.run([("block", {"name": "blocked", "seconds": 1})])
    ((name, attempt),) = outcome.items
    # The attempt that was blocked ended before the next one, and was rolled back.
    assert (name, attempt == "attempt 1") == ("blocked", False)
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


def test_an_error_after_the_lease_has_ended_is_not_one_of_the_next_attempt(jobs: Jobs) -> None:
    enqueued: list[Job] = [("block", {"name": "blocked", "seconds": 1, "fails": True})]
    outcome = jobs.run(enqueued, variables={"JOBS_LEASE": "2"})
    assert jobs.started() == 2
    assert outcome.items == [("blocked", "attempt 2")]
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


def test_a_worker_that_was_blocked_goes_on_with_its_jobs(jobs: Jobs) -> None:
    enqueued = [*waits(3, 4 * LEASE), ("stall", {"name": "stall", "seconds": 2 * LEASE})]
    outcome = jobs.run(enqueued, clocks=[0])
    assert outcome.items == [(name, "attempt 1") for name in names(enqueued)]
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


def test_leases_of_running_jobs_are_renewed(jobs: Jobs) -> None:
    enqueued = writes(5, before=3)
    outcome = jobs.run(enqueued, variables={"JOBS_LEASE": "2"})
    assert outcome.items == [(name, "attempt 1") for name in names(enqueued)]
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


@on_servers
def test_workers_do_not_wait_for_a_locked_job(jobs: Jobs) -> None:
    enqueued = writes(20)
    outcome = jobs.run(enqueued, locks=True, max_seconds=20, variables=LONG_LEASE)
    assert outcome.names == names(enqueued)
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


@on_servers
def test_deadlocks_of_handlers_are_retried(jobs: Jobs) -> None:
    enqueued = [
        ("update_both", {"name": "update-1", "items": ["left", "right"]}),
        ("update_both", {"name": "update-2", "items": ["right", "left"]}),
    ]
    outcome = jobs.run(enqueued, items=["left", "right"], variables=LONG_LEASE)
    (_, left), (_, right), *updates = outcome.items
    assert left == right
    assert [name for name, _ in updates] == ["update-1", "update-2"]
    assert sorted(attempt for _, attempt in updates) == ["attempt 1", "attempt 2"]
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


def test_jobs_that_kill_their_workers_fail(jobs: Jobs) -> None:
    good = writes(20, before=0.1)
    outcome = jobs.run([("kill", {"name": "killer"}), *good])
    assert outcome.names == names(good)
    ((name, attempts, error),) = outcome.failed
    assert (name, attempts) == ("item.kill", 3)
    assert error == "WorkerDiedError: the worker that had claimed the job died, or lost its lease"
    assert outcome.left == 0
    assert 1 <= outcome.deaths <= 3


def test_jobs_that_raise_errors_fail(jobs: Jobs) -> None:
    good = writes(20)
    bad: list[Job] = [("fail", {"name": "fail"}), ("fail", {"name": 5})]
    bad += [("cancel_itself", {"name": "cancelled"})]
    outcome = jobs.run(bad + good, variables=LONG_LEASE)
    assert outcome.names == names(good)
    assert sorted((name, attempts, error[:16]) for name, attempts, error in outcome.failed) == [
        ("item.cancel_itself", 3, "CancelledError: "),
        ("item.fail", 3, "ValidationError:"),
        ("item.fail", 3, "ValueError: fail"),
    ]
    assert (outcome.left, outcome.deaths) == (0, 0)


def test_four_workers_enqueue_each_schedule_once(jobs: Jobs) -> None:
    # Every second.
    variables = {"JOBS_CRON": "* * * * * *", "JOBS_POLL_INTERVAL": "0.005"}
    outcome = jobs.run([], clocks=[0] * 4, min_seconds=4, variables=variables)
    assert len(outcome.names) >= 2
    assert outcome.names == sorted({*outcome.names})


@pytest.mark.parametrize("server", ["postgresql"], indirect=True, scope="module")
def test_a_commit_that_outlasts_the_timeout_is_not_repeated(jobs: Jobs) -> None:
    enqueued = [("commit_slowly", {"name": "slow"}), *writes(3, before=3)]
    outcome = jobs.run(enqueued, clocks=[0], variables=LONG_LEASE)
    # The commit succeeded, although the job had timed out.
    assert outcome.items == [(name, "attempt 1") for name in names(enqueued)]
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


def test_clocks_that_differ(jobs: Jobs) -> None:
    enqueued = writes(60, before=0.05)
    outcome = jobs.run(enqueued, clocks=[-2, 0, 2])
    assert outcome.names == names(enqueued)
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


def test_a_job_is_either_cancelled_or_done(jobs: Jobs) -> None:
    enqueued = writes(60, before=0.3)
    outcome = jobs.run(enqueued, cancels=True)
    assert outcome.names == sorted({*outcome.names})
    assert {*names(enqueued)[1::2]} <= {*outcome.names}
    assert outcome.cancelled
    assert len(outcome.names) + outcome.cancelled == len(enqueued)
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


@on_servers
def test_lost_connections_neither_lose_nor_repeat_jobs(jobs: Jobs) -> None:
    enqueued = writes(100, before=0.05)
    outcome = jobs.run(enqueued, disconnections=20)
    assert outcome.names == names(enqueued)
    assert (outcome.left, outcome.failed, outcome.deaths) == (0, [], 0)


@on_servers
def test_jobs_outlast_a_restart_of_the_database(jobs: Jobs) -> None:
    enqueued = waits(60, 0.1)
    jobs.enqueue(enqueued)
    with jobs.worker() as first, jobs.worker() as second:
        wait_for(lambda: jobs.started() > 10, TIMEOUT)
        jobs.server.stop()
        time.sleep(1.5 * LEASE)
        second.terminate()
        assert second.wait(SECONDS_TO_STOP) == 0
        jobs.server.start()
        outcome = jobs.wait()
        assert first.poll() is None
    assert outcome.names == names(enqueued)
    assert (outcome.left, outcome.failed) == (0, [])


def test_replicas_enqueue_what_they_commit(jobs: Jobs) -> None:
    jobs.enqueue([])
    asked = [f"job-{number:03}" for number in range(100)]
    failing, keyed, killing = asked[::10], asked[5::10], asked[52]
    acknowledged: set[str] = set()
    with ExitStack() as stack:
        replicas = [stack.enter_context(jobs.replica()) for _ in range(2)]
        stack.enter_context(jobs.worker())

        def ask(name: str) -> None:
            query: dict[str, Any] = {"name": name, "fails": name in failing}
            if name in keyed:
                query["key"] = "once"
            if name == killing:
                replicas[0].served.process.kill()
            with suppress(OSError, HTTPException):
                replica = replicas[asked.index(name) % 2]
                if replica.ask("POST", "/enqueue", **query).status == 201:
                    acknowledged.add(name)

        with ThreadPoolExecutor(8) as pool:
            [*pool.map(ask, asked)]
        outcome = jobs.wait()
    done = [name for name in outcome.names if name.startswith("job")]
    committed = [name.removeprefix("request of ") for name in outcome.names if name not in done]
    assert done == committed
    assert acknowledged <= {*done}
    assert not {*failing} & {*done}
    assert len(acknowledged) > len(asked) / 4


def test_sigterm_lets_jobs_finish(jobs: Jobs) -> None:
    enqueued = waits(3, 1)
    jobs.enqueue(enqueued)
    with jobs.worker(**LONG_LEASE) as worker:
        wait_for(lambda: jobs.started() == 3, TIMEOUT)
        worker.terminate()
        assert worker.wait(SECONDS_TO_STOP) == 0
    assert jobs.wait().items == [(name, "attempt 1") for name in names(enqueued)]


def test_sigterm_leaves_long_jobs_to_other_workers(jobs: Jobs) -> None:
    enqueued = waits(3, 60)
    jobs.enqueue(enqueued)
    with jobs.worker(JOBS_SHUTDOWN_TIMEOUT="0.1", **LONG_LEASE) as worker:
        wait_for(lambda: jobs.started() == 3, TIMEOUT)
        worker.terminate()
        assert worker.wait(SECONDS_TO_STOP) == 0
    with jobs.worker():
        outcome = jobs.wait()
    # Not counted as an attempt.
    assert outcome.items == [(name, "attempt 1") for name in names(enqueued)]
