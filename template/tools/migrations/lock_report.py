"""The report of `nox -s locks` in Markdown, whose tables are aligned for the terminal."""

from pathlib import Path

from alembic.script import Script

from app.core.settings import PROJECT_ROOT
from tools.migrations.statement_locks import COLUMNS

Rows = list[tuple[str, ...]]


def describe(script: Script, rows: Rows) -> str:
    """Return the section of a revision, with a row for each table that a statement locks."""
    file = Path(script.path).relative_to(PROJECT_ROOT)
    heading = f"### {script.revision}: {script.doc}\n\n`{file}`"
    if not rows:
        return f"{heading}\n\nNo statements."
    table = [COLUMNS, *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table.insert(1, tuple("-" * width for width in widths))
    lines = (
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    )
    return "\n".join([heading, "", *(f"| {line} |" for line in lines)])
