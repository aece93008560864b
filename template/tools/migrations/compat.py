"""Run the tests of the base commit on the schema of new revisions; run by `nox -s compat`.

In a rolling release, and after one that is rolled back, old code runs on the new schema.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.script import Script
from alembic.util import CommandError

from app.core.settings import PROJECT_ROOT
from tools.database_server import ServerError
from tools.initial_revision import server
from tools.migrations.base_commit import BaseCommitError, check_out, find_base, find_new_revisions
from tools.migrations.base_tests import TESTS, BaseTests, BaseTestsError
from tools.revision_head import find_heads

USAGE = "usage: nox -s compat -- [BRANCH or COMMIT]"
ADVICE = (
    "Make the change in steps, each released before the next: add what new code needs, change the"
    " code, then remove what no code uses. See docs/migrations.md."
)


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 1 if a test fails that passes without the new revisions."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(f"invalid arguments {list(arguments)}; {USAGE}", file=sys.stderr)
        return 2
    try:
        base = find_base(*arguments)
        return run(base, find_new_revisions(base))
    except (BaseCommitError, BaseTestsError, CommandError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def run(base: str, new: list[Script]) -> int:
    """Run the tests of a commit on the schema of new revisions, and name those that fail."""
    if not new:
        print(f"No new revisions since {base[:12]}.")
        return 0
    if len(heads := find_heads()) > 1:
        raise BaseTestsError(f"several heads, {heads}; merge them: uv run alembic merge heads")
    with (
        server() as server_url,
        check_out(base) as folder,
        TemporaryDirectory(prefix="compat-", ignore_cleanup_errors=True) as temporary,
    ):
        if not (folder / TESTS).is_dir():
            print(f"{base[:12]} has no {TESTS} in {PROJECT_ROOT.name}: there is nothing to run.")
            return 0
        tests = BaseTests(folder, server_url, Path(temporary))
        names = ", ".join(script.revision for script in new)
        print(f"Running the tests of {base[:12]} on the schema of {names}.", flush=True)
        if not (failed := tests.run(heads, [TESTS])):
            return 0
        return report(base, list(find_causes(tests, new, failed)))


def find_causes(
    tests: BaseTests, new: list[Script], failed: list[str]
) -> Iterator[tuple[Script | None, list[str]]]:
    """Yield the first revision with which each test fails; None for those that fail without."""
    yield None, (known := tests.run(find_old_heads(new), failed, quiet=True))
    remaining = [test for test in failed if test not in known]
    for script in new[:-1]:
        found = tests.run([script.revision], remaining, quiet=True) if remaining else []
        yield script, found
        remaining = [test for test in remaining if test not in found]
    yield new[-1], remaining


def find_old_heads(new: list[Script]) -> list[str]:
    """Return the revisions that the new ones follow."""
    names = {script.revision for script in new}
    return sorted({down for script in new for down in script._all_down_revisions} - names)


def report(base: str, causes: list[tuple[Script | None, list[str]]]) -> int:
    """Print the failed tests of each revision, and return the exit status."""
    for script, tests in causes:
        if tests and script:
            file = Path(script.path).relative_to(PROJECT_ROOT)
            print(f"\nRevision {script.revision} ({file}) breaks the code of {base[:12]}:")
        elif tests:
            print(f"\nFailed without the new revisions, too, in the code of {base[:12]}:")
        for test in tests:
            print(f"  {test}")
    broken = any(script and tests for script, tests in causes)
    if broken:
        print(f"\n{ADVICE}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
