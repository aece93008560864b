"""Report what a template update left to resolve: conflicts, and edited files that moved.

It needs only Python, because a conflict may break pyproject.toml as well. An optional argument is
the project's folder.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[2]
# An update adds this table to a project that has files at old paths.
MOVED_FILES = "tools/updates/moved_files.json"
MARKER = re.compile(rb"(<{7}|>{7}) ")
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
            with file.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if MARKER.match(line):
                        yield f"{name}:{number}: {line.decode('utf-8', 'replace').strip()}"


def find_moved(folder: Path) -> Iterator[str]:
    """Delete unedited files at old paths; yield one line per edited one and per import of one."""
    table = folder / MOVED_FILES
    moved: dict[str, Any] = json.loads(table.read_bytes()) if table.exists() else {}
    imports = {}
    for old, entry in moved.items():
        file, new = folder / old, entry["moved_to"]
        if file.is_file():
            if checksum(file) not in entry["unedited"]:
                yield f"{old}: moved to {new}; apply your edits there, then delete this file"
                continue
            file.unlink()
        # A package of the old name still takes its imports.
        if not file.with_suffix("").is_dir():
            imports[import_pattern(old)] = f"{dotted(old)} moved to {dotted(new)}"
    for file in find_files(folder):
        name = file.relative_to(folder).as_posix()
        if file.suffix == ".py" and name not in moved:
            for number, line in enumerate(file.read_bytes().splitlines(), start=1):
                for pattern, reason in imports.items():
                    if pattern.match(line):
                        yield f"{name}:{number}: {reason}; update the import"


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file's text with Unix line endings."""
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_pattern(path: str) -> re.Pattern[bytes]:
    """Return a pattern for the lines that import a module, given its path."""
    package, _, name = dotted(path).rpartition(".")
    module = rf"(?:from|import) {re.escape(package)}\.{name}\b"
    member = rf"from {re.escape(package)} import (?:.*\W)?{name}\b"
    return re.compile(rf"\s*(?:{module}|{member})".encode())


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else PROJECT_ROOT
    found = [*find_conflicts(folder), *find_moved(folder)]
    for line in found:
        print(line)
    if found:
        sys.exit("Resolve these conflicts of the template update; see docs/updating.md.")
    (folder / MOVED_FILES).unlink(missing_ok=True)
