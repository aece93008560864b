"""Jobs whose messages are carried by a broker that is killed, emptied, or repeats them."""

import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from tests.support.applications import wait_for
from tests.support.brokers import BROKERS, PASSWORD, Broker, require_broker
from tests.support.environments import create_once
from tests.support.projects import (
    SECONDS_TO_STOP,
    SUPPORT,
    Project,
    clean_environment,
    render,
    run,
)

DATABASES = ("postgresql", "mysql", "sqlite")
HANDLER = """from app.core.database import Session
from app.core.jobs import job
from app.modules.item.schemas import ItemCreate
from app.modules.item.service import ItemService


@job()
async def record(session: Session, name: str) -> None:
    await ItemService(session).create(ItemCreate(name=name))
"""
# Seconds between two looks at the database: never, and often.
NEVER, OFTEN = "3600", "0.5"
# Seconds, on a busy machine.
TIMEOUT = 60
# Seconds after which a broker that does not answer is given up.
SECONDS_TO_PUBLISH = 5


@dataclass
class Jobs:
    """A project with a database, whose processes share a broker."""

    project: Project
    # The folder with the packages of the extra `broker`.
    packages: Path
    url: str
    broker: Broker
    logs: list[Path] = field(default_factory=list)

    @contextmanager
    def run(self, *command: str, poll_interval: str = OFTEN) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command of Python, and stop it at the end, unless it has ended."""
        path = self.project.path
        variables = {
            "DATABASE_URL": self.url,
            "JOBS_BROKER_URL": self.broker.url,
            "JOBS_POLL_INTERVAL": poll_interval,
            "PYTHONPATH": f"{path}{os.pathsep}{self.packages}",
        }
        log = path.parent / f"log-{len(self.logs)}"
        self.logs.append(log)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.project.program("python"), *command],
                cwd=path,
                env=clean_environment(path) | variables,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(SECONDS_TO_STOP)
        assert process.returncode == 0, log.read_text("utf-8")

    @contextmanager
    def work(self, *, poll_interval: str = OFTEN) -> Iterator[Path]:
        """Run a worker; yield its log."""
        with self.run("-m", "app.worker", poll_interval=poll_interval):
            yield self.logs[-1]

    def enqueue(self, *arguments: str) -> None:
        """Enqueue jobs by enqueue_jobs.py."""
        with self.run("enqueue_jobs.py", *arguments) as process:
            process.wait(TIMEOUT)

    def effects(self) -> list[str]:
        return [name for [name] in self.project.sql(self.url, "SELECT name FROM item")]

    def count_waiting(self) -> int:
        [[count]] = self.project.sql(self.url, "SELECT count(*) FROM queued_job")
        return int(count)

    def wait_until_done(self, expected: list[str]) -> None:
        """Wait until no job is left; then, each has had its effect once."""
        wait_for(lambda: self.count_waiting() == 0, TIMEOUT)
        assert sorted(self.effects()) == sorted(expected)


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    require_broker(request.param)
    with TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        broker = BROKERS[request.param](Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


@pytest.fixture(scope="module")
def packages(template: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of the extra `broker`, which the environment that tests share does not have."""

    def install(folder: Path) -> None:
        project = render(template, tmp_path_factory.mktemp("broker"), features=["jobs"])
        extras = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
        requirements = extras["optional-dependencies"]["broker"]
        target = ("--python", sys.executable, "--target", str(folder))
        run(["uv", "pip", "install", "--quiet", *target, *requirements], project)

    folder = shared / "broker-packages"
    return create_once(folder, lambda: install(folder))


@pytest.fixture(scope="module")
def project_of(lasting_project: Callable[..., Project]) -> Callable[[str], Project]:
    """Render a project with a handler for each database, once."""

    @cache
    def make(database: str) -> Project:
        project = lasting_project(database, features=["jobs"])
        (project.path / "app/modules/item/jobs.py").write_text(HANDLER)
        shutil.copy(SUPPORT / "enqueue_jobs.py", project.path)
        return project

    return make


@pytest.fixture
def jobs(
    database: str, broker: Broker, packages: Path, project_of: Callable[[str], Project]
) -> Iterator[Jobs]:
    project = project_of(database)
    with project.server() as url:
        project.run("alembic", "upgrade", "head", DATABASE_URL=url)
        jobs = Jobs(project, packages, url, broker)
        yield jobs
    for log in jobs.logs:
        text = log.read_text("utf-8")
        assert PASSWORD not in text
        assert quote(PASSWORD, safe="") not in text
        assert "Traceback" not in text, text


on_brokers = pytest.mark.parametrize("broker", BROKERS, indirect=True, scope="module")
on_databases = pytest.mark.parametrize("database", DATABASES)
# Without messages, its workers only poll.
on_mysql = pytest.mark.parametrize("database", ["mysql"])


@on_brokers
@on_databases
def test_no_job_is_lost_or_runs_twice_while_the_broker_fails(jobs: Jobs) -> None:
    broker = jobs.broker
    with jobs.work(), jobs.work(), jobs.run("enqueue_jobs.py", "many", "300") as load:
        wait_for(lambda: len(jobs.effects()) > 40, TIMEOUT)
        broker.kill()
        wait_for(lambda: len(jobs.effects()) > 100, TIMEOUT)
        broker.start()
        broker.empty("jobs")
        broker.send_signal(signal.SIGSTOP)
        wait_for(lambda: len(jobs.effects()) > 150, TIMEOUT)
        broker.send_signal(signal.SIGCONT)
        load.wait(TIMEOUT)
        slowest = float(jobs.logs[-1].read_text("utf-8").splitlines()[-1])
        jobs.wait_until_done([str(number) for number in range(300)])
    assert slowest < SECONDS_TO_PUBLISH


@on_brokers
@on_mysql
def test_messages_wake_workers_after_the_commit(jobs: Jobs) -> None:
    with jobs.work(poll_interval=NEVER) as log:
        wait_for_connection(log)
        jobs.enqueue("slowly", "first", "1")
        jobs.wait_until_done(["first"])
        jobs.broker.empty("jobs")
        jobs.broker.kill()
        jobs.broker.start()
        jobs.enqueue("slowly", "second", "1")
        jobs.wait_until_done(["first", "second"])


@on_brokers
@on_mysql
def test_a_broker_that_is_down_only_delays_jobs(jobs: Jobs) -> None:
    jobs.broker.kill()
    with jobs.work() as log:
        jobs.enqueue("many", "50")
        jobs.wait_until_done([str(number) for number in range(50)])
        jobs.broker.start()
        wait_for_connection(log)
    assert [log.read_text("utf-8").count("broker is unavailable") for log in jobs.logs] == [1, 1]


@on_brokers
@on_mysql
def test_repeated_messages_repeat_no_effect(jobs: Jobs) -> None:
    with jobs.work(), jobs.work():
        jobs.enqueue("repeatedly", "100")
        jobs.wait_until_done([str(number) for number in range(100)])


def wait_for_connection(log: Path) -> None:
    try:
        wait_for(lambda: "connected to the broker" in log.read_text("utf-8"), TIMEOUT)
    except AssertionError:
        pytest.fail(f"not connected within {TIMEOUT} s:\n{log.read_text('utf-8')}")
