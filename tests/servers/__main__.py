"""Run the migrations and the rendered project's tests on each server; print a table.

SERVERS lists them, separated by commas: URLs, `sqlite://` for the SQLite of this Python, or `found`
for the servers and Pythons of this machine, which is the default. A server that is given needs a
user that may create databases. Other arguments are pytest's, for the tests of migrations.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers.discovery import FOUND, Target, parse_servers
from tests.servers.running import Result, run_target
from tests.servers.table import format_table, write_table
from tests.support.projects import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="nox -s servers --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", action="store_true", help="write the table into the README")
    parser.add_argument("--wheels", type=Path, default=Path(), help=argparse.SUPPRESS)
    options, arguments = parser.parse_known_args()
    # Each target has its own.
    os.environ.pop("TEST_DATABASE_URL", None)
    try:
        targets = parse_servers(os.environ.get("SERVERS", FOUND), options.wheels)
    except ValueError as error:
        parser.error(str(error))
    if not targets:
        parser.error("SERVERS: empty; unset it to use the servers of this machine")
    results = run_all(targets, arguments, write=options.write)
    return 0 if all(result.has_passed for result in results) else 1


def run_all(targets: list[Target], arguments: list[str], *, write: bool) -> list[Result]:
    results: list[Result] = []
    with TemporaryDirectory(prefix="servers-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        for number, target in enumerate(targets, 1):
            print(f"\n{number} of {len(targets)}: {target}", flush=True)
            results.append(run_target(target, Path(folder), arguments))
            print(f"\n{format_table(results)}", flush=True)
            # After each one, because all of them take long.
            if write:
                write_table(ROOT / "README.md", results, arguments)
    return results


if __name__ == "__main__":
    # Nox sends a SIGTERM if an interrupt takes long; servers have to be stopped then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
