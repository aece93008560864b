"""Requests per second, latency, CPU time and memory of each contender."""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.contenders import (
    DELETE_CREATED_ROWS,
    ROWS,
    Contender,
    all_served,
    cpu_seconds,
    database,
    handwritten,
    memory,
    ours,
    peers,
    postgresql_program,
    random_keys,
    vacuum,
)
from benchmarks.workbench import Workbench
from tests.support.projects import Served, run

# Workers of the server, and connections of the client.
SETTINGS = ((1, 16), (1, 1), (2, 16))
LOAD = Path(__file__).with_name("load.mjs")
AUTOCANNON = "autocannon@9"
PGBENCH = "the SQL alone (pgbench)"
SCRIPTS = {
    "read one": "\\set n random(1, {rows})\nSELECT * FROM item WHERE id = seeded(:n);\n",
    "page of 50": "SELECT * FROM item ORDER BY id LIMIT 50;\n",
    "create": """INSERT INTO item (id, name, description, version, created_at, updated_at)
VALUES (gen_random_uuid(), 'Lamp', 'It shines', 1, now(), now()) RETURNING *;
""",
    "change": """\\set n random(1, {rows})
UPDATE item SET name = 'Lamp', version = version + 1 WHERE id = seeded(:n) RETURNING *;
""",
}
Figures = dict[str, float]


def measure(bench: Workbench) -> dict[str, Any]:
    install_client(bench.folder)
    results: dict[str, Any] = {}
    with database(bench) as url:
        contenders = [*ours(bench), *handwritten(bench), *peers(bench, url)]
        keys = random_keys(bench.project, url)
        for workers, connections in SETTINGS:
            with all_served(contenders, url, workers) as served:
                pairs = list(zip(contenders, served, strict=True))
                setting = f"{workers} worker{'s' * (workers > 1)}, {connections} connection"
                results[setting + "s" * (connections > 1)] = compare(
                    bench, pairs, url, keys, connections
                )
    return results


def install_client(folder: Path) -> None:
    quiet = ("--silent", "--ignore-scripts", "--no-audit", "--no-fund")
    run(["npm", "install", *quiet, AUTOCANNON], folder)


def compare(
    bench: Workbench,
    pairs: list[tuple[Contender, Served]],
    url: str,
    keys: list[str],
    connections: int,
) -> dict[str, Any]:
    """Return the figures of each round, by endpoint and contender; contenders alternate."""
    results: dict[str, dict[str, list[Figures]]] = {}
    # The first round warms up.
    for number in range(bench.rounds + 1):
        for endpoint in pairs[0][0].requests(keys):
            found = results.setdefault(endpoint, {})
            for contender, served in pairs:
                requests = contender.requests(keys)[endpoint]
                figures = load(bench, served, requests, connections)
                if number:
                    found.setdefault(contender.name, []).append(figures)
            if number and endpoint in SCRIPTS:
                found.setdefault(PGBENCH, []).append(
                    pgbench(bench, url, SCRIPTS[endpoint], connections)
                )
            if endpoint.startswith(("create", "change")):
                bench.project.sql(url, DELETE_CREATED_ROWS)
                vacuum(bench.project, url)
    return results


def load(
    bench: Workbench, served: Served, requests: list[dict[str, Any]], connections: int
) -> Figures:
    """Load a server and return its figures. Raises AssertionError if a request fails."""
    before = cpu_seconds(served)
    given = {
        "url": served.address,
        "connections": connections,
        "seconds": bench.seconds,
        "requests": requests,
    }
    done = subprocess.run(
        ["node", str(LOAD)],
        cwd=bench.folder,
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    latencies: list[float] = found["latencies"]
    assert latencies, served.log.read_text("utf-8")[-4000:]
    assert not found["failed"], (found["failed"], served.log.read_text("utf-8")[-4000:])
    return {
        "requests per second": len(latencies) / found["seconds"],
        "p50, ms": latencies[len(latencies) // 2],
        "p99, ms": latencies[len(latencies) * 99 // 100],
        "processor per request, ms": 1000 * (cpu_seconds(served) - before) / len(latencies),
        "memory of a worker, MiB": memory(served),
    }


def pgbench(bench: Workbench, url: str, script: str, connections: int) -> Figures:
    """Run a transaction repeatedly and return its figures."""
    file = bench.folder / "transaction.sql"
    file.write_text(script.format(rows=ROWS), "utf-8")
    program = postgresql_program(bench.project, "pgbench")
    address = urlsplit(url)
    printed = run(
        [
            *(program, "--no-vacuum", "--protocol", "prepared", "--file", str(file)),
            *("--client", str(connections), "--time", str(round(bench.seconds) or 1)),
            *("--host", parse_qs(address.query)["host"][0]),
            *("--username", address.username or "", address.path[1:]),
        ],
        bench.folder,
    ).stdout
    [rate] = [line.split()[2] for line in printed.splitlines() if line.startswith("tps")]
    return {"requests per second": float(rate)}
