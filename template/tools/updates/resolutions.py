"""Report dependencies and nox sessions that were lost when a conflict of an update was resolved.

The two sides of a conflict may share a line such as @nox.session, and the code of the new version
may need a dependency of its side. This needs only Python and git.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
ANSWERS = ".copier-answers.yml"
# The versions of an unmerged file in git's index.
BASE, THEIRS = "1", "3"


def find_dropped() -> Iterator[str]:
    """Yield what the new version added to a file in conflict, and the resolved file lacks."""
    # Once the update is committed, later changes are deliberate.
    if not git("diff", "--name-only", "HEAD", "--", ANSWERS):
        return
    for path, read, kind in (
        ("pyproject.toml", read_dependencies, "dependency"),
        ("noxfile.py", read_sessions, "session"),
    ):
        versions = find_versions(path)
        text = (PROJECT_ROOT / path).read_text("utf-8") if (PROJECT_ROOT / path).exists() else ""
        if {BASE, THEIRS} <= versions.keys() and "<<<<<<< " not in text:
            added = read(git("cat-file", "blob", versions[THEIRS]))
            added -= read(git("cat-file", "blob", versions[BASE]))
            for name in sorted(added - read(text)):
                yield f"{path}: the new version's {kind} {name} is missing; add it again"


def find_versions(path: str) -> dict[str, str]:
    """Return the hashes of a file's versions by stage, also if its conflict is resolved."""
    entries = [
        line.split()
        for option in ("--unmerged", "--resolve-undo")
        for line in git("ls-files", option, "--", path).splitlines()
    ]
    return {stage: blob for _, blob, stage, *_ in entries}


def read_dependencies(pyproject: str) -> set[str]:
    """Return the names of all dependencies, with those of extras and groups."""
    parsed = tomllib.loads(pyproject)
    project = parsed.get("project", {})
    groups = [
        project.get("dependencies", []),
        *project.get("optional-dependencies", {}).values(),
        *parsed.get("dependency-groups", {}).values(),
    ]
    # Other entries include a group.
    entries = (entry for group in groups for entry in group if isinstance(entry, str))
    names = (re.split(r"[^\w.-]", entry.strip(), maxsplit=1)[0] for entry in entries)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def read_sessions(noxfile: str) -> set[str]:
    """Return the names of the functions with the decorator nox.session."""
    functions = (node for node in ast.parse(noxfile).body if isinstance(node, ast.FunctionDef))
    return {
        function.name
        for function in functions
        if any("session" in ast.unparse(decorator) for decorator in function.decorator_list)
    }


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    if dropped := [*find_dropped()]:
        print(*dropped, sep="\n")
        sys.exit("Resolving a conflict of the template update lost these; see docs/updating.md.")
