"""Print the changelog section of a release: python .github/release_notes.py vX.Y.Z."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path


def main(tag: str) -> None:
    """Print the section; exit with a message unless the tag is a known release."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        sys.exit(f"{tag}: not a release tag; expected vX.Y.Z")
    version = tag.removeprefix("v")
    check_commit(tag, version)
    print(section(Path("CHANGELOG.md").read_text("utf-8"), version))


def check_commit(tag: str, version: str) -> None:
    """Exit with a message unless tests/releases.toml has the commit of the tag."""
    releases = tomllib.loads(Path("tests/releases.toml").read_text("utf-8"))
    command = ["git", "rev-parse", "--verify", f"{tag}^{{commit}}"]
    commit = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    if releases.get(version) != commit:
        listed = releases.get(version, "nothing")
        sys.exit(
            f"tests/releases.toml: {listed} for {version}, but {tag} is {commit};"
            f' add "{version}" = "{commit}", push it, and run this workflow again'
        )


def section(changelog: str, version: str) -> str:
    """Return the text below the heading of a version; exit with a message if there is none."""
    pattern = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, changelog, re.DOTALL | re.MULTILINE)
    if not found or not found[1].strip():
        sys.exit(f"CHANGELOG.md: no entries below '## [{version}] - YYYY-MM-DD'; add them")
    return found[1].strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
