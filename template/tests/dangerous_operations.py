"""Finds what a revision does that loses data, locks a table or breaks running code.

A line is silenced by a comment with the reason: `# safe: the table is empty`.
`python -m tests.dangerous_operations FILE …` prints what it finds.
"""

import ast
import re
import sys
from pathlib import Path

from tests.operation_rules import find_problems

SILENCED = re.compile(r"#\s*safe:\s*\S")


class DangerousOperationWarning(UserWarning):
    """Names the line of a revision and what is dangerous about it."""


def dangerous_operations(revision: Path) -> list[str]:
    """Return a line for each dangerous operation in `upgrade` that is not silenced."""
    source = revision.read_text("utf-8")
    lines = source.splitlines()
    [upgrade] = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    found: dict[str, None] = {}
    for number, problem in sorted(find_problems(revision, upgrade)):
        first, last = _statement(upgrade, number)
        if not any(SILENCED.search(line) for line in lines[first - 1 : last]):
            found[f"{revision.name}:{number}: {problem}"] = None
    return list(found)


def _statement(upgrade: ast.FunctionDef, number: int) -> tuple[int, int]:
    """Return the first and last line of the innermost statement that holds a line."""
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
