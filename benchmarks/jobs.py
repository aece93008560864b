"""Jobs per second of the feature `jobs`, PgQueuer, and Taskiq with Redis."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contenders import database, psql
from benchmarks.workbench import Workbench
from tests.support.projects import ROOT, Project, clean_environment, render, run

QUEUES = Path(__file__).parent / "queues"
WORKERS = (1, 4)
ENQUEUE = "enqueue"
# What a job does: nothing, or write a row by a session of the project, or by asyncpg.
KINDS = ("nothing", "session", "asyncpg")
# For each worker; they only warm it up.
FIRST_JOBS = 500
RATE = "jobs per second"
CPU = "processor per job, ms"
PACKAGES = ("pgqueuer", "taskiq", "taskiq-redis")
VERSIONS = """
import sys
from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in sys.argv[1:]))
"""
# The figures of each round, by kind of job and queue.
Results = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True)
class Queue:
    """A queue: the module that fills it, the command of a worker, and what that prints at first."""

    name: str
    module: str
    worker: tuple[str, ...]
    ready: str
    kinds: tuple[str, ...] = KINDS


# Its handlers write by their session, which also deletes the job.
OURS = Queue(
    "this template",
    "template_jobs",
    ("python", "-m", "app.worker"),
    "worker started",
    ("nothing", "session"),
)
PGQUEUER = Queue("PgQueuer", "pgqueuer_jobs", ("python", "-m", "pgqueuer_jobs"), "ready")
TASKIQ = Queue(
    "Taskiq with Redis",
    "taskiq_jobs",
    ("taskiq", "worker", "taskiq_jobs:broker", "--workers", "1"),
    "Listening started",
)


def measure(bench: Workbench) -> dict[str, Any]:
    """Return the figures of each round, by setting, kind of job and queue."""
    project = installed(bench)
    with ExitStack() as stack:
        variables = {
            "DATABASE_URL": stack.enter_context(database(bench, 0, project)),
            # All that PgQueuer has claimed waits for a connection.
            "DATABASE_POOL_TIMEOUT": "60",
            "PYTHONPATH": f"{QUEUES}:{project.path}",
        }
        queues = [OURS, PGQUEUER]
        if shutil.which("redis-server"):
            variables["REDIS_URL"] = stack.enter_context(redis_server())
            queues.append(TASKIQ)
        else:
            print("Taskiq is excluded; it needs redis-server on the PATH", file=sys.stderr)
        # First, because this creates the tables of PgQueuer.
        results = {ENQUEUE: enqueue(bench, project, queues, variables)}
        for workers in WORKERS:
            results[setting(workers)] = work(bench, project, queues, variables, workers)
        return {"with": versions(project, queues), "settings": results}


def installed(bench: Workbench) -> Project:
    """Return a project with jobs, in an environment that has the other queues, too."""
    path = render(bench.template, bench.folder / "jobs", features=["jobs"])
    shutil.copy(QUEUES / "item_jobs.py", path / "app/modules/item/jobs.py")
    environment = bench.folder / "jobs-environment"
    project = Project(path, environment, bench.folder / "types")
    variables = {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_COMPILE_BYTECODE": "1"}
    run(["uv", "sync", "--quiet", "--python", bench.python], path, status=0, **variables)
    group = ("--group", f"{ROOT / 'pyproject.toml'}:queues")
    install = ["uv", "pip", "install", "--quiet", "--python", project.program("python"), *group]
    run(install, path, status=0, **variables)
    return project


def setting(workers: int) -> str:
    return f"{workers} worker{'s' * (workers > 1)}"


def versions(project: Project, queues: list[Queue]) -> str:
    """Return the versions of the other queues."""
    found = project.python("-c", VERSIONS, *PACKAGES).stdout.strip()
    if TASKIQ not in queues:
        return found
    return f"{found}, {run(['redis-server', '--version'], project.path).stdout.split(' sha')[0]}"


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis server that writes what it stores to a file; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True) as folder:
        address = Path(folder) / "socket"
        process = subprocess.Popen(
            [
                *("redis-server", "--port", "0", "--unixsocket", str(address)),
                *("--dir", folder, "--appendonly", "yes"),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not address.exists():
                assert process.poll() is None, "redis-server does not start"
                time.sleep(0.05)
            yield f"unix://{address}"
        finally:
            process.terminate()
            process.wait()


def load(project: Project, queue: Queue, variables: dict[str, str], *arguments: object) -> float:
    command = (str(QUEUES / "load.py"), queue.module, *map(str, arguments))
    return float(project.python(*command, status=0, **variables).stdout.split()[-1])


def enqueue(
    bench: Workbench, project: Project, queues: list[Queue], variables: dict[str, str]
) -> Results:
    """Return transactions per second that write a row and enqueue a job."""
    results: Results = {}
    # The first round warms up.
    for number in range(bench.rounds + 1):
        for kind, queue in pairs(queues, KINDS[1:]):
            rate = load(project, queue, variables, f"enqueue-{kind}", bench.seconds)
            truncate(project, variables)
            if number:
                add(results, kind, queue, {RATE: rate})
    return results


def work(
    bench: Workbench,
    project: Project,
    queues: list[Queue],
    variables: dict[str, str],
    workers: int,
) -> Results:
    """Return the figures of workers; all of them are started, and the queues take turns."""
    results: Results = {}
    with ExitStack() as stack:
        started = {
            queue: stack.enter_context(run_workers(project, queue, variables, workers))
            for queue in queues
        }
        counts: dict[tuple[str, Queue], int] = {}
        for number in range(bench.rounds + 1):
            for kind, queue in pairs(queues, KINDS):
                count = counts.get((kind, queue), FIRST_JOBS * workers)
                processes = started[queue]
                before = cpu_seconds(processes)
                pids = (process.pid for process in processes)
                seconds = load(project, queue, variables, kind, count, *pids)
                spent = cpu_seconds(processes) - before
                check_rows(project, variables, 0 if kind == "nothing" else count)
                truncate(project, variables)
                counts[kind, queue] = max(1, round(count / seconds * bench.seconds))
                if number:
                    found = {RATE: count / seconds, CPU: 1000 * spent / count}
                    add(results, kind, queue, found)
    return results


def pairs(queues: list[Queue], kinds: tuple[str, ...]) -> Iterator[tuple[str, Queue]]:
    return ((kind, queue) for kind in kinds for queue in queues if kind in queue.kinds)


def add(results: Results, kind: str, queue: Queue, figures: dict[str, float]) -> None:
    results.setdefault(kind, {}).setdefault(queue.name, []).append(figures)


@contextmanager
def run_workers(
    project: Project, queue: Queue, variables: dict[str, str], count: int
) -> Iterator[list[psutil.Process]]:
    """Run workers, and wait until all of them have started; yield their processes.

    Raises AssertionError with the log if one exits.
    """
    program, *arguments = queue.worker
    with tempfile.NamedTemporaryFile(dir=project.path.parent, suffix=".log") as output:
        log = Path(output.name)
        processes = [
            subprocess.Popen(
                [project.program(program), *arguments],
                cwd=project.path,
                env=clean_environment(project.path) | variables,
                stdout=output,
                stderr=output,
            )
            for _ in range(count)
        ]
        try:
            while len(re.findall(queue.ready, log.read_text("utf-8"))) < count:
                assert all(one.poll() is None for one in processes), log.read_text("utf-8")
                time.sleep(0.1)
            parents = [psutil.Process(process.pid) for process in processes]
            yield [*parents, *(child for one in parents for child in one.children(recursive=True))]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()


def cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(time.user + time.system for time in times)


def check_rows(project: Project, variables: dict[str, str], expected: int) -> None:
    [[found]] = project.sql(variables["DATABASE_URL"], "SELECT count(*) FROM item")
    assert found == expected, f"{expected} jobs wrote {found} rows"


def truncate(project: Project, variables: dict[str, str]) -> None:
    """Let each round start with the same tables."""
    url = variables["DATABASE_URL"]
    project.sql(url, "TRUNCATE item")
    psql(project, url, "VACUUM ANALYZE")
