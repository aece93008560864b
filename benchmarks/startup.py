"""The cost of starting a process: imports, commands with nothing to do, memory."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.contenders import all_served, database, handwritten, memory, ours
from benchmarks.workbench import Workbench, command
from tests.support.projects import Project

IMPORTS = "import alembic, sqlalchemy, app.main"
REVISIONS = Path(__file__).with_name("revisions.py")
# The number of packages in the report.
HEAVIEST = 10


def measure(bench: Workbench) -> dict[str, Any]:
    project = bench.project
    contenders = [*ours(bench), *handwritten(bench)]
    with database(bench, 1) as url:
        python, variables = project.program("python"), {"DATABASE_URL": url}
        alembic = [python, "-m", "alembic"]
        names = {"python -c pass": "pass", f"python -c '{IMPORTS}'": IMPORTS}
        actions = {
            name: command([python, "-c", code], project.path, **variables)
            for name, code in names.items()
        }
        actions["alembic upgrade head, nothing to do"] = command(
            [*alembic, "upgrade", "head"], project.path, **variables
        )
        actions["alembic check"] = command([*alembic, "check"], project.path, **variables)
        seconds = bench.in_turn(actions)
        with all_served(contenders, url, 1) as served:
            pairs = zip(contenders, served, strict=True)
            idle = {contender.name: memory(one) for contender, one in pairs}
    return {
        "seconds": seconds,
        "memory of an idle worker, MiB": idle,
        "imports of app.main, ms": heaviest_imports(project),
        "revisions": revisions(bench),
    }


def heaviest_imports(project: Project) -> dict[str, float]:
    """Return the import time of the slowest packages, in milliseconds."""
    printed = project.python("-X", "importtime", "-c", "import app.main").stdout
    totals: Counter[str] = Counter()
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", printed):
        totals[name] += int(own)
    heaviest = {name: own / 1000 for name, own in totals.most_common(HEAVIEST)}
    return {"all": sum(totals.values()) / 1000, **heaviest}


def revisions(bench: Workbench) -> Any:
    """Return the seconds of upgrades by number of revisions; see `revisions.py`."""
    project = bench.project
    path = str(project.path)
    printed = project.python("-P", str(REVISIONS), str(bench.rounds), PYTHONPATH=path).stdout
    return json.loads(printed.splitlines()[-1])
