"""The compared applications, all on one database, and the requests sent to each."""

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
from tests.support.pages import follow_page
from tests.support.projects import Project, Served, run

APPLICATIONS = Path(__file__).parent / "applications"
REFERENCE = "FastAPI and SQLAlchemy"
ROWS = 100_000
# Enough that connections rarely change the same row.
KEYS = 10_000
# Keys increase with the number, as UUIDv7 do with time.
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
# Deletes the rows that a round created, so that each round starts with the same table.
DELETE_CREATED_ROWS = "DELETE FROM item WHERE description <> 'One of many'"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Contender:
    """An application, its project, and the path of its items."""

    name: str
    project: Project
    application: str
    variables: dict[str, str] = field(default_factory=dict)
    path: str = "/api/v1/items"

    @contextmanager
    def serve(self, url: str, workers: int = 1) -> Iterator[Served]:
        """Serve it, and wait until all workers have started.

        Raises AssertionError with the log if the server exits first.
        """
        variables = self.variables | {"WEB_CONCURRENCY": str(workers)}
        with self.project.serve(url, self.application, **variables) as served:
            while served.log.read_text("utf-8").count("Application startup complete") < workers:
                assert served.process.poll() is None, served.log.read_text("utf-8")
                time.sleep(0.1)
            yield served

    def requests(self, keys: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the requests of each endpoint."""

        def to(method: str, path: str, body: Any = None) -> dict[str, Any]:
            request: dict[str, Any] = {"method": method, "path": self.path + path}
            if body is not None:
                request |= {"body": json.dumps(body), "headers": JSON}
            return request

        item = {"name": "Lamp", "description": "It shines"}
        return {
            "read one": [to("GET", f"/{key}") for key in keys],
            "page of 50": [to("GET", "?limit=50")] * 16,
            "create": [to("POST", "", item)] * 16,
            "change": [to("PATCH", f"/{key}", {"name": "Lamp"}) for key in keys],
        }


def ours(bench: Workbench) -> list[Contender]:
    """Return those of this template, with the recipe for bulk creation."""
    contenders = []
    for count, modules in MODULES.items():
        project = bench.rendered(f"with-{count}-modules", modules=modules)
        follow_page(project, "bulk_creation")
        name = f"this template, {count} modules"
        contenders.append(Contender(name, project, "app.main:create_app"))
    return contenders


def handwritten(bench: Workbench) -> list[Contender]:
    """Return the applications in `applications/`, which do not log."""
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
    """Return applications of other templates; none if they support no installed Python."""
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
def database(bench: Workbench, rows: int = ROWS, project: Project | None = None) -> Iterator[str]:
    """Run a database server with that many items, by default of `bench.project`; yield its URL."""
    project = project or bench.project
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    with project.private_server(folder) as url:
        # For all contenders at once; takes effect at the next start.
        psql(project, url, "ALTER SYSTEM SET max_connections = 400")
    with project.private_server(folder) as url:
        project.run("alembic", "upgrade", "head", DATABASE_URL=url)
        project.sql(url, SEED[0], SEED[1].format(rows=rows))
        vacuum(project, url)
        yield url


def vacuum(project: Project, url: str) -> None:
    """Update the statistics and the visibility map, as autovacuum does in production."""
    psql(project, url, "VACUUM ANALYZE item")


def psql(project: Project, url: str, statement: str) -> None:
    """Execute a statement outside a transaction."""
    project.run(postgresql_program(project, "psql"), url, "--quiet", "--command", statement)


def postgresql_program(project: Project, name: str) -> str:
    return str(next(project.environment.rglob(f"pginstall/bin/{name}")))


def random_keys(project: Project, url: str) -> list[str]:
    """Return the keys of a random sample of rows, the same in each run."""
    rows = project.sql(url, f"SELECT id::text FROM item WHERE id <= seeded({ROWS}) ORDER BY id")
    return [key for [key] in random.Random(1).sample(rows, KEYS)]


def cpu_seconds(served: Served) -> float:
    """Return the CPU seconds of a server and its workers."""
    parent = psutil.Process(served.process.pid)
    times = [process.cpu_times() for process in [parent, *parent.children(recursive=True)]]
    return sum(time.user + time.system for time in times)


def memory(served: Served) -> float:
    """Return the unique memory of one worker, in MiB."""
    workers = psutil.Process(served.process.pid).children(recursive=True)
    process = workers[-1] if workers else psutil.Process(served.process.pid)
    return float(process.memory_full_info().uss) / 2**20


@contextmanager
def all_served(contenders: list[Contender], url: str, workers: int) -> Iterator[list[Served]]:
    """Serve all applications at once, so that measurements can alternate."""
    with ExitStack() as stack:
        yield [stack.enter_context(one.serve(url, workers)) for one in contenders]
