"""The cost of a page at the start of a million rows, and at the end."""

from typing import Any

from benchmarks.contenders import REFERENCE, all_served, database, handwritten, ours
from benchmarks.throughput import install_client, load
from benchmarks.workbench import Workbench

ROWS = 1_000_000
DEPTH = 900_000
CURSOR = """
from types import SimpleNamespace
from app.core.pagination.cursors import encode_cursor
from app.modules.item.models import Item
print(encode_cursor(Item, "id", SimpleNamespace(id="{key}")))
"""


def measure(bench: Workbench) -> dict[str, Any]:
    """Return the requests per second of each round, for pages of 50 and one connection."""
    install_client(bench.folder)
    results: dict[str, list[float]] = {}
    with database(bench, ROWS) as url:
        [[key]] = bench.project.sql(url, f"SELECT seeded({DEPTH})::text")
        cursor = bench.project.python("-c", CURSOR.format(key=key)).stdout.strip()
        mine = ours(bench)[0]
        reference = next(one for one in handwritten(bench) if one.name == REFERENCE)
        with all_served([mine, reference], url, 1) as [my_server, reference_server]:
            pages = {
                f"{mine.name}: first page": (my_server, ""),
                f"{mine.name}: page at row {DEPTH:,}, by cursor": (my_server, f"&cursor={cursor}"),
                f"{REFERENCE}: first page": (reference_server, ""),
                f"{REFERENCE}: page at row {DEPTH:,}, by OFFSET": (
                    reference_server,
                    f"&offset={DEPTH}",
                ),
            }
            for number in range(bench.rounds + 1):
                for name, (server, parameters) in pages.items():
                    path = f"{mine.path}?limit=50{parameters}"
                    figures = load(bench, server, [{"method": "GET", "path": path}], 1)
                    if number:
                        results.setdefault(name, []).append(figures["requests per second"])
    return results
