"""The servers and Pythons of this machine, and those that SERVERS names."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.projects import SCHEMES

DEBIAN = Path("/usr/lib/postgresql")
FOUND = "found"


@dataclass(frozen=True)
class Target:
    """A kind of database, on the server of a URL or one to start, and the Python to use."""

    database: str
    url: str = ""
    # Of PostgreSQL, the folder with initdb.
    programs: Path | None = None
    python: str = sys.executable

    def __str__(self) -> str:
        """Return where the server is, without the password of a URL."""
        where = urlsplit(self.url).netloc.rpartition("@")[2] or self.programs or self.python
        return f"{self.database}, {where}"


def parse_servers(text: str, wheels: Path) -> list[Target]:
    """Return the targets of SERVERS: URLs and `found`, separated by commas.

    `sqlite://` is the SQLite of this Python. Raises ValueError for anything else.
    """
    targets: list[Target] = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        scheme = urlsplit(word).scheme
        if word == FOUND:
            targets += find_targets(wheels)
        elif scheme in SCHEMES:
            targets.append(Target(SCHEMES[scheme], word if scheme != "sqlite" else ""))
        else:
            raise ValueError(
                f"SERVERS: unsupported {word!r}; expected {FOUND!r} or URLs, such as"
                " postgresql://user:password@host/database, mysql://… or sqlite://"
            )
    return targets


def find_targets(wheels: Path) -> Iterator[Target]:
    for folder in find_postgresql(wheels):
        yield Target("postgresql", programs=folder)
    if any(map(shutil.which, ("mariadbd", "mysqld"))):
        yield Target("mysql")
    for python in find_pythons():
        yield Target("sqlite", python=python)


def find_postgresql(wheels: Path) -> list[Path]:
    """Return a folder with initdb for each major version: of Debian, the PATH or a wheel."""
    on_path = shutil.which("initdb")
    folders = [
        *wheels.glob("*/pginstall*/bin"),
        *([Path(on_path).resolve().parent] if on_path else []),
        *DEBIAN.glob("*/bin"),
    ]
    # The last one of a version, because Debian's server has all that PostgreSQL can be built with.
    found = {major_version(folder): folder for folder in folders if (folder / "initdb").exists()}
    return [found[version] for version in sorted(found)]


def major_version(programs: Path) -> int:
    printed = subprocess.check_output([programs / "postgres", "--version"], text=True)
    found = re.search(r"\d+", printed)
    return int(found[0]) if found else 0


def find_pythons() -> list[str]:
    """Return the newest interpreter of each minor version that the project supports."""
    command = ["uv", "python", "list", "--only-installed", "--output-format", "json"]
    printed = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True)
    found: dict[int, tuple[int, str]] = {}
    for one in json.loads(printed):
        parts = one["version_parts"]
        version = (parts["patch"], one["path"])
        if one["implementation"] == "cpython" and parts["major"] == 3 and parts["minor"] >= 11:
            found[parts["minor"]] = max(found.get(parts["minor"], version), version)
    return [found[minor][1] for minor in sorted(found)]
