"""Fails on what an update could not merge: conflict markers, and the .rej files of --conflict rej.

It needs nothing but Python, because pyproject.toml may hold a conflict as well. An argument names
another project's folder.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
MARKER = re.compile(rb"(<{7}|>{7}) ")
# Bytes; nothing that an update merges is larger.
LARGEST = 10_000_000


def find_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a project, without environments, caches and git's own."""
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
    """Yield where there is a conflict and what it looks like, in the manner of a compiler."""
    for file in find_files(folder):
        name = os.path.relpath(file, folder)
        if file.suffix == ".rej":
            yield f"{name}: lines of yours that the update could not put into {file.stem}"
        elif file.stat().st_size <= LARGEST:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if MARKER.match(line):
                        yield f"{name}:{number}: {line.decode('utf-8', 'replace').strip()}"


if __name__ == "__main__":
    conflicts = list(find_conflicts(Path(sys.argv[1]) if sys.argv[1:] else PROJECT_ROOT))
    for conflict in conflicts:
        print(conflict)
    if conflicts:
        sys.exit("Conflicts of an update; the README says how to resolve them, or to abort it.")
