"""The time from an empty folder to the first response over HTTP, on a real database."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.peers import FASTAPI_FULLSTACK, FASTAPI_TEMPLATE, Peer
from benchmarks.rendering import COPIER
from benchmarks.workbench import Workbench
from tests.support.projects import Project, Served, run

STAGES = ("render", "install", "database", "migrate", "first answer")


class Stopwatch:
    """The seconds of consecutive stages."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = time.perf_counter()

    def stage(self) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.began)
        self.began = now


def measure(bench: Workbench) -> dict[str, Any]:
    """Return the seconds of each stage in each round; packages come from a cache."""
    # Installed before the measurement, as Copier is.
    peers: dict[str, Peer] = {}
    if bench.has_peers:
        peers = {
            "fastapi_template (s3rius)": FASTAPI_TEMPLATE,
            "fastapi-fullstack (vstorm)": FASTAPI_FULLSTACK,
        }
    for peer in peers.values():
        peer.install_generator(bench.folder / f"{peer.requirement}-first", bench.python)
    results: dict[str, list[list[float]]] = {}
    for number in range(bench.rounds + 1):
        found = {"this template": ours(bench)}
        for name, peer in peers.items():
            found[name] = of_peer(bench, peer)
        if number:
            for name, seconds in found.items():
                results.setdefault(name, []).append(seconds)
    return {"stages": STAGES, "seconds": results}


def ours(bench: Workbench) -> list[float]:
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    path, environment = folder / "project", folder / "environment"
    watch = Stopwatch()
    run([*COPIER, "copy", "--defaults", "--quiet", str(bench.template), str(path)], folder)
    watch.stage()
    run(
        ["uv", "sync", "--quiet", "--python", bench.python],
        path,
        UV_PROJECT_ENVIRONMENT=str(environment),
    )
    watch.stage()
    project = Project(path, environment, folder)
    with ExitStack() as stack:
        url = stack.enter_context(project.private_server(folder / "server"))
        watch.stage()
        project.run("alembic", "upgrade", "head", DATABASE_URL=url)
        watch.stage()
        served = stack.enter_context(project.serve(url))
        request(served, "/api/v1/items")
        watch.stage()
    return watch.seconds


def of_peer(bench: Workbench, peer: Peer) -> list[float]:
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    generator = bench.folder / f"{peer.requirement}-first"
    watch = Stopwatch()
    run(peer.command(generator), folder, status=0, **peer.files_only)
    watch.stage()
    path = peer.adapt(folder)
    project = peer.install(path, folder / "environment", bench.python)
    watch.stage()
    with ExitStack() as stack:
        # They bring no database server.
        url = stack.enter_context(bench.project.private_server(folder / "server"))
        watch.stage()
        variables = peer.variables(url)
        project.run("alembic", "upgrade", "head", status=0, **variables)
        watch.stage()
        served = stack.enter_context(project.serve(url, peer.application, **variables))
        request(served, peer.health)
        watch.stage()
    return watch.seconds


def request(served: Served, path: str) -> None:
    """Send a request; raise HTTPError unless the response is a success."""
    with urlopen(served.address + path) as response:
        response.read()
