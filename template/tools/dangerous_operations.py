"""Find operations in a revision that lose data, lock a table or break running code.

`python -m tools.dangerous_operations FILE …` prints them. A comment that gives a reason suppresses
the warnings of a statement: `# safe: the table is empty`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.operation_rules import find_problems

SUPPRESSED = re.compile(r"#\s*safe:\s*\S")
# What shows more about a problem, by words in its message.
HINTS = {
    r"lock|rewrit": "`uv run nox -s locks` shows what it locks",
    r"clients|running code": "`uv run nox -s compat` runs the tests of the running code",
}


class DangerousOperationWarning(UserWarning):
    """A revision has a dangerous operation; the message names its line."""


def dangerous_operations(revision: Path) -> list[str]:
    """Return a message for each dangerous operation in `upgrade` that is not suppressed."""
    source = revision.read_text("utf-8")
    lines = source.splitlines()
    [upgrade] = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    found: dict[str, None] = {}
    for number, problem in sorted([*find_problems(revision, upgrade), *_mixed_backfills(upgrade)]):
        first, last = _statement_lines(upgrade, number)
        if not any(SUPPRESSED.search(line) for line in lines[first - 1 : last]):
            hints = [hint for words, hint in HINTS.items() if re.search(words, problem)]
            found["; ".join([f"{revision.name}:{number}: {problem}", *hints])] = None
    return list(found)


def _mixed_backfills(upgrade: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield each backfill in a revision that has operations before it, which its batches commit."""
    calls = [node for node in ast.walk(upgrade) if isinstance(node, ast.Call)]
    lines = [(ast.unparse(call.func), call.lineno) for call in calls]
    operations = [
        line
        for name, line in lines
        if name.startswith(("op.", "batch_op.")) and name != "op.get_context"
    ]
    problem = "commits the operations before it, so that the revision cannot be run again after an"
    for name, line in lines:
        if name == "backfill" and min(operations, default=line) < line:
            yield line, f"{problem} error; move them to a revision of their own"


def _statement_lines(upgrade: ast.FunctionDef, number: int) -> tuple[int, int]:
    """Return the first and last line of the innermost statement that contains a line."""
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(upgrade)
        if isinstance(node, ast.stmt) and node.lineno <= number <= (node.end_lineno or 0)
        if node is not upgrade
    ]
    return min(spans, key=lambda span: span[1] - span[0], default=(number, number))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        for line in dangerous_operations(Path(argument)):
            print(f"dangerous: {line}")
