"""Measure, and write results.json, results.md and results.svg.

Stages: requests, depth, authentication, jobs, rendering, updates, first-answer, startup, suite; all
of them by default.
template-suite reads what `pytest --numprocesses auto --junitxml FILE` reported.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    authentication,
    depth,
    first_answer,
    jobs,
    rendering,
    report,
    startup,
    suite,
    throughput,
    updates,
)
from benchmarks.workbench import PEERS_NEED, Workbench

STAGES = {
    "requests": throughput.measure,
    "depth": depth.measure,
    "authentication": authentication.measure,
    "jobs": jobs.measure,
    "rendering": rendering.measure,
    "updates": updates.measure,
    "first-answer": first_answer.measure,
    "startup": startup.measure,
    "suite": suite.measure,
}
TEMPLATE_SUITE = "template-suite"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="nox -s bench --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement, at least 1")
    parser.add_argument("--seconds", type=float, default=3, help="duration of a load")
    parser.add_argument("--junitxml", type=Path, metavar="FILE", help=f"for {TEMPLATE_SUITE}")
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parent, help="for the results"
    )
    options = parser.parse_args()
    stages = options.stages or list(STAGES)
    if unknown := set(stages) - {*STAGES, TEMPLATE_SUITE}:
        parser.error(f"unknown stage: {', '.join(sorted(unknown))}; expected {', '.join(STAGES)}")
    if TEMPLATE_SUITE in stages and not options.junitxml:
        parser.error(f"{TEMPLATE_SUITE} needs --junitxml FILE")
    if options.junitxml and not options.junitxml.is_file():
        parser.error(f"--junitxml {options.junitxml} is not a file")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: must be at least 1")
    if options.seconds <= 0:
        parser.error(f"--seconds {options.seconds:g}: must be positive")
    if not options.folder.is_dir():
        parser.error(f"--folder {options.folder} is not a folder")
    file = options.folder / "results.json"
    results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        bench = Workbench(Path(folder), options.rounds, options.seconds)
        if not bench.has_peers:
            print(f"Other templates are excluded; they need Python {PEERS_NEED}", file=sys.stderr)
        for stage in stages:
            if stage == TEMPLATE_SUITE:
                said = f"{stage} --junitxml FILE"
                figures = suite.by_file(options.junitxml)
            elif stage == "updates":
                said = stage
                figures = updates.measure(bench)
            else:
                said = f"{stage} --rounds {options.rounds} --seconds {options.seconds:g}"
                figures = STAGES[stage](bench)
            versions = updates.versions() if stage == "updates" else bench.versions()
            results[stage] = {
                "options": said,
                "on": f"{datetime.now(UTC):%Y-%m-%d}",
                "versions": f"{versions}, {os.cpu_count()} cores, {platform.machine()}",
                "figures": figures,
            }
            file.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            report.write(results, options.folder)
            print(f"{stage}: written to {options.folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
