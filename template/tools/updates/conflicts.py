"""Report what a template update left to resolve: conflicts, also those of files that moved.

It needs only Python, because a conflict may break pyproject.toml as well. An optional argument is
the project's folder.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
MARKER = re.compile(rb"(<{7}|>{7}) ")
# The first line of what an update leaves at the old path of a file that moved, also in a conflict.
MOVED = re.compile(
    rb"(?:\A|^(?:={7}|<{7} [^\n]*)\r?\n)(?:# )?Moved to \[?([^\s;\]]+)[;\]]", re.MULTILINE
)
APPLY_EDITS = "uv run --no-project tools/updates/moves.py"
# Bytes; the template has no larger files.
MAX_SIZE = 10_000_000


def find_files(folder: Path) -> Iterator[Path]:
    """Yield a project's files except environments, caches and git's own files."""
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or not os.access(entry, os.R_OK):
            continue
        if entry.is_file():
            yield entry
        elif entry.is_dir() and (
            entry.name == ".github"
            or not (
                entry.name.startswith(".")
                or entry.name in {"__pycache__", "node_modules"}
                or (entry / "pyvenv.cfg").exists()
            )
        ):
            yield from find_files(entry)


def find_conflicts(folder: Path) -> Iterator[str]:
    """Yield one line per conflict marker and .rej file, in the format of compiler errors."""
    for file in find_files(folder):
        name = file.relative_to(folder).as_posix()
        if file.suffix == ".rej":
            yield f"{name}: edits that the update could not apply to {file.stem}"
        elif file.stat().st_size <= MAX_SIZE:
            yield from find_markers(name, file.read_bytes())


def find_markers(name: str, text: bytes) -> Iterator[str]:
    """Yield one line per conflict marker, or a single one for a file that moved."""
    lines = enumerate(text.split(b"\n"), start=1)
    markers = [(number, line) for number, line in lines if MARKER.match(line)]
    if markers and (moved := MOVED.search(text)):
        new = moved[1].decode("utf-8", "replace")
        yield f"{name}: moved to {new}; to apply your edits there: {APPLY_EDITS}"
    else:
        for number, line in markers:
            yield f"{name}:{number}: {line.decode('utf-8', 'replace').strip()}"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else PROJECT_ROOT
    found = [*find_conflicts(folder)]
    for line in found:
        print(line)
    if found:
        sys.exit("Resolve these conflicts of the template update; see docs/updating.md.")
