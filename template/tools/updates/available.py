# /// script
# requires-python = ">=3.11"
# dependencies = ["copier>=9.19.1", "packaging>=26", "pyyaml>=6.0.3"]
# ///
"""Report whether the template has a newer version, with the changelog up to it."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from packaging.version import InvalidVersion, Version

PROJECT_ROOT = Path(__file__).resolve().parents[2]
ANSWERS = PROJECT_ROOT / ".copier-answers.yml"
SHORTCUTS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/", "git+": ""}


def run(*command: str) -> str:
    """Return a command's output; exit with its error message if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return done.stdout


def find_versions() -> tuple[Version, Version]:
    """Return the project's template version and the latest one."""
    check = (sys.executable, "-m", "copier", "check-update", "--output-format", "json")
    found = json.loads(run(*check, "--answers-file", ANSWERS.name, str(PROJECT_ROOT)))
    return Version(found["current_version"]), Version(found["latest_version"])


def read_changelog() -> str:
    """Return the template's current changelog, or an empty string if it has none."""
    address = str(yaml.safe_load(ANSWERS.read_text("utf-8"))["_src_path"])
    for shortcut, meaning in SHORTCUTS.items():
        if address.startswith(shortcut):
            address = meaning + address.removeprefix(shortcut)
    with tempfile.TemporaryDirectory() as folder:
        run("git", "clone", "--quiet", "--depth", "1", "--", address, folder)
        file = Path(folder, "CHANGELOG.md")
        return file.read_text("utf-8") if file.exists() else ""


def sections(changelog: str, after: Version, until: Version) -> str:
    """Return the changelog sections of the versions in the range `after < version <= until`."""
    chosen = []
    for section in re.split(r"^(?=## )", changelog, flags=re.MULTILINE):
        title = re.match(r"## \[?([^\]\s]+)", section)
        try:
            version = Version(title[1]) if title else after
        except InvalidVersion:
            continue
        if after < version <= until:
            chosen.append(section.strip())
    return "\n\n".join(chosen)


if __name__ == "__main__":
    # First, because git reports an unreachable repository in one line, and Copier with a traceback.
    changelog = read_changelog()
    current, latest = find_versions()
    # Copier's version of a commit after release 1.0.0 is like 1.0.0.post1.dev0+1a2b3c4.
    if latest <= current and current.is_postrelease:
        print(f"This project follows {current}, a commit after the template's release {latest}.")
        print("There is no newer release. To update to the latest commit from a clean tree:")
        print("uv run nox -s update -- --vcs-ref HEAD")
    elif latest <= current:
        print(f"This project is up to date with the template, version {current}.")
    else:
        print(f"The template has version {latest}; this project follows {current}.")
        print(f"\n{sections(changelog, current, latest)}\n")
        print("To update, from a clean working tree: uv run nox -s update")
