"""Statements of folded revisions that a squash carries over, because autogenerate writes none."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from alembic.script import Script

# Not for tables and rows. The second group is created after tables, and dropped before them.
CARRIED = re.compile(
    r"\s*(CREATE(\s+OR\s+REPLACE)?|DROP|ALTER|COMMENT\s+ON)\s+"
    r"((EXTENSION|TYPE|DOMAIN|SEQUENCE|SCHEMA)|((MATERIALIZED\s+)?VIEW|(CONSTRAINT\s+)?TRIGGER"
    r"|FUNCTION|PROCEDURE|AGGREGATE|RULE|POLICY|EVENT))\b",
    re.IGNORECASE,
)
BEFORE_TABLES = 4
REFLECTED_IN_PART = {"op.create_index", "op.create_exclude_constraint"}


def carry_over(file: Path, folded: Sequence[Script], snapshot: str) -> None:
    """Add statements of the folded revisions to a new base.

    These are `op.execute` of literal SQL for objects other than tables, and the creation of indexes
    and exclusion constraints that are in the snapshot, and not in the base.
    """
    code = file.read_text("utf-8")
    begin, upgrade, downgrade = re.split(r"(?m)^(?=def )", code)
    names = {name for name in re.findall(r"\w+", snapshot) if f'"{name}"' not in code}
    before, after = _statements(folded, "upgrade", names)
    upgrade = _insert(upgrade, before, after)
    before, after = _statements(folded[::-1], "downgrade", set())
    downgrade = _insert(downgrade, after, before)
    file.write_text(begin + upgrade + downgrade, "utf-8")


def _statements(
    folded: Sequence[Script], name: str, missing: set[str]
) -> tuple[list[str], list[str]]:
    """Return the code of statements that create or drop what tables need, and of the others."""
    before: list[str] = []
    after: list[str] = []
    for script in folded:
        source = Path(script.path).read_text("utf-8")
        for call in _calls(source, name):
            text = _literal(call.args[0]) if call.args else ""
            function, code = ast.unparse(call.func), ast.get_source_segment(source, call) or ""
            found = CARRIED.match(text)
            if function == "op.execute" and found:
                (before if found[BEFORE_TABLES] else after).append(code)
            elif function in REFLECTED_IN_PART and text in missing:
                after.append(code)
    return before, after


def _calls(source: str, name: str) -> Iterator[ast.Call]:
    """Yield the calls that are statements of a function, and not of a block within it."""
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and function.name == name:
            for node in function.body:
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                    yield node.value


def _literal(node: ast.expr) -> str:
    """Return a literal string, or that in `op.f(…)` or `sa.text(…)`, or an empty one."""
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0]
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return ast.literal_eval(node) if is_text else ""


def _insert(function: str, first: list[str], last: list[str]) -> str:
    head, body = function.split("\n", 1)
    lines = [head, *(f"    {one}" for one in first), body.rstrip(), *(f"    {one}" for one in last)]
    return "\n".join(lines) + "\n\n\n"
