# /// script
# requires-python = ">=3.11"
# ///
"""Report dependencies and nox sessions that were lost when a conflict of an update was resolved.

The two sides of a conflict may share a line such as @nox.session, and the code of the new version
may need a dependency of its side. This needs only Python and git.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

# Run by its path, without an environment of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.updates.repository import ANSWERS, PROJECT_ROOT, UpdateError, git, git_paths

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
            theirs, base = (read_blob(versions[stage]) for stage in (THEIRS, BASE))
            try:
                dropped = read(theirs) - read(base) - read(text)
            except (tomllib.TOMLDecodeError, SyntaxError) as error:
                yield f"{path}: invalid since its conflict was resolved: {error}"
            else:
                for name in sorted(dropped):
                    yield f"{path}: the new version's {kind} {name} is missing; add it again"


def find_versions(path: str) -> dict[str, str]:
    """Return the hashes of a file's versions by stage, also if its conflict is resolved."""
    entries = [
        line.split()
        for option in ("--unmerged", "--resolve-undo")
        for line in git_paths("ls-files", option, "-z", "--", path)
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


def read_blob(name: str) -> str:
    return git("cat-file", "blob", name).decode("utf-8", "replace")


if __name__ == "__main__":
    try:
        dropped = [*find_dropped()]
    except UpdateError as error:
        sys.exit(str(error))
    if dropped:
        print(*dropped, sep="\n")
        sys.exit("Resolving a conflict of the template update lost these; see docs/updating.md.")
