"""The applications that are compared, all on one database, and the requests that each gets."""

import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers import FASTAPI_TEMPLATE, add_items
from benchmarks.workbench import MODULES, Workbench
from tests.projects import Project, Served, run

APPLICATIONS = Path(__file__).parent / "applications"
REFERENCE = "FastAPI and SQLAlchemy"
ROWS = 100_000
# Enough that connections which change rows do not meet.
KEYS = 10_000
BULK = 100
# The keys grow with the number, as UUIDv7 do with time.
SEED = (
    """CREATE OR REPLACE FUNCTION seeded(number bigint) RETURNS uuid IMMUTABLE LANGUAGE sql
    RETURN (
        lpad(to_hex(1700000000000 + number), 12, '0') || '7' || substr(md5(number::text), 1, 3)
        || '8' || substr(md5(number::text), 4, 15)
    )::uuid""",
    """INSERT INTO item (id, name, description, version, created_at, updated_at)
    SELECT seeded(number), 'Item ' || number, 'One of many', 1, now(), now()
    FROM generate_series(1, {rows}) AS number""",
)
# What was created since, by whatever key, so that every round finds the same table.
TIDY = "DELETE FROM item WHERE description <> 'One of many'"
JSON: Any = {"content-type": "application/json"}


@dataclass(frozen=True)
class Contender:
    """An application, where it runs, and the path of its items."""

    name: str
    project: Project
    application: str
    variables: dict[str, str] = field(default_factory=dict)
    path: str = "/api/v1/items"

    @contextmanager
    def serve(self, url: str, workers: int = 1) -> Iterator[Served]:
        """Serve it, and wait until all workers answer.

        Raises AssertionError, with the log, if it ends before.
        """
        variables = self.variables | {"WEB_CONCURRENCY": str(workers)}
        with self.project.serve(url, self.application, **variables) as served:
            while served.log.read_text("utf-8").count("Application startup complete") < workers:
                assert served.process.poll() is None, served.log.read_text("utf-8")
                time.sleep(0.1)
            yield served

    def requests(self, keys: list[str]) -> dict[str, list[dict[str, str]]]:
        """Return the requests of each endpoint."""

        def to(method: str, path: str, body: Any = None) -> dict[str, str]:
            request = {"method": method, "path": self.path + path}
            if body is not None:
                request |= {"body": json.dumps(body), "headers": JSON}
            return request

        item = {"name": "Lamp", "description": "It shines"}
        return {
            "read one": [to("GET", f"/{key}") for key in keys],
            "page of 50": [to("GET", "?limit=50")] * 16,
            "create": [to("POST", "", item)] * 16,
            "change": [to("PATCH", f"/{key}", {"name": "Lamp"}) for key in keys],
            f"create {BULK}": [to("POST", "/bulk", [item] * BULK)] * 16,
        }


def ours(bench: Workbench) -> list[Contender]:
    return [
        Contender(
            f"this template, {count} modules",
            bench.rendered(f"with-{count}-modules", modules=modules),
            "app.main:create_app",
        )
        for count, modules in MODULES.items()
    ]


def handwritten(bench: Workbench) -> list[Contender]:
    """Return those of `applications/`, which log nothing."""
    variables = {"PYTHONPATH": str(APPLICATIONS), "UVICORN_ACCESS_LOG": "false"}
    names = {
        REFERENCE: "fastapi_sqlalchemy",
        "FastAPI and asyncpg": "fastapi_asyncpg",
        "Starlette and asyncpg": "starlette_asyncpg",
    }
    return [
        Contender(name, bench.project, f"{module}:create_app", variables)
        for name, module in names.items()
    ]


def peers(bench: Workbench, url: str) -> list[Contender]:
    """Return those of other templates that have items; none without a Python for them."""
    if not bench.has_peers:
        return []
    peer = FASTAPI_TEMPLATE
    folder = bench.folder / "fastapi_template"
    folder.mkdir()
    peer.install_generator(bench.folder / "generator", bench.python)
    run(peer.command(bench.folder / "generator"), folder, status=0, **peer.files_only)
    path = peer.adapt(folder)
    add_items(path)
    project = peer.install(path, bench.folder / "fastapi_template-environment", bench.python)
    assert peer.items
    return [
        Contender(
            "fastapi_template (s3rius)",
            project,
            peer.application,
            peer.variables(url),
            peer.items,
        )
    ]


@contextmanager
def database(bench: Workbench, rows: int = ROWS) -> Iterator[str]:
    """Run a server of its own, with that many items; yield its URL."""
    project = bench.project
    folder = tempfile.mkdtemp(dir=bench.folder)
    with project.server(folder) as url:
        # For all contenders at once; it counts from the next start.
        psql(project, url, "ALTER SYSTEM SET max_connections = 400")
    with project.server(folder) as url:
        project.run("alembic", "upgrade", "head", DATABASE_URL=url)
        project.sql(url, SEED[0], SEED[1].format(rows=rows))
        vacuum(project, url)
        yield url


def vacuum(project: Project, url: str) -> None:
    """Give the planner its statistics and readers their visibility map, as after a while of use."""
    psql(project, url, "VACUUM ANALYZE item")


def psql(project: Project, url: str, statement: str) -> None:
    """Execute a statement that no transaction may surround."""
    project.run(postgresql_program(project, "psql"), url, "--quiet", "--command", statement)


def postgresql_program(project: Project, name: str) -> str:
    return str(next(project.environment.rglob(f"pginstall/bin/{name}")))


def random_keys(project: Project, url: str) -> list[str]:
    """Return the keys of some of the rows, the same ones at each run."""
    rows = project.sql(url, f"SELECT id::text FROM item WHERE id <= seeded({ROWS}) ORDER BY id")
    return [key for [key] in random.Random(1).sample(rows, KEYS)]


def processor_seconds(served: Served) -> float:
    """Return the seconds that a server and its workers computed."""
    parent = psutil.Process(served.process.pid)
    times = [process.cpu_times() for process in [parent, *parent.children(recursive=True)]]
    return sum(time.user + time.system for time in times)


def memory(served: Served) -> float:
    """Return the MiB that belong to the worker alone."""
    workers = psutil.Process(served.process.pid).children(recursive=True)
    process = workers[-1] if workers else psutil.Process(served.process.pid)
    return float(process.memory_full_info().uss) / 2**20


@contextmanager
def all_served(contenders: list[Contender], url: str, workers: int) -> Iterator[list[Served]]:
    """Serve them all at once, so that they can take turns."""
    with ExitStack() as stack:
        yield [stack.enter_context(one.serve(url, workers)) for one in contenders]
