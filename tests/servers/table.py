"""The table of what ran, for the terminal and the README."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.servers.running import Result

BEGIN = "<!-- Written by: nox -s servers -- --write -->\n"
END = "<!-- End of the table. -->\n"
HEAD = "| server | Python | migrations | rendered project | seconds |\n|---|---|---|---|---|\n"


def format_table(results: Sequence[Result]) -> str:
    return HEAD + "".join(
        f"| {one.server} | {one.python} | {format_counts(one.migrations)} |"
        f" {format_counts(one.project)} | {one.seconds:.0f} |\n"
        for one in results
    )


def format_counts(counts: Counter[str]) -> str:
    outcomes = ("passed", "failed", "skipped")
    return ", ".join(f"{counts[name]} {name}" for name in outcomes if counts[name]) or "nothing ran"


def write_table(readme: Path, results: Sequence[Result], arguments: Sequence[str]) -> None:
    """Replace the table of a README, and the date and pytest's arguments above it.

    Raises ValueError if the README has no place for it.
    """
    text = readme.read_text("utf-8")
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"{readme}: no place for the table; expected {BEGIN!r} and {END!r}")
    selected = f", with `{' '.join(arguments)}` for the migrations" if arguments else ""
    caption = f"Run on {datetime.now(UTC):%Y-%m-%d}{selected}:\n\n"
    readme.write_text(f"{before}{BEGIN}\n{caption}{format_table(results)}\n{END}{after}", "utf-8")
