"""Git repositories: projects, and the template with all releases and the working tree."""

import re
import subprocess
import tomllib
from pathlib import Path

from tests.support.projects import ROOT, copy_template, run

RELEASES: dict[str, str] = tomllib.loads((ROOT / "tests" / "releases.toml").read_text("utf-8"))
# Later than any release.
WORKING_TREE = "9999.0.0"
# User-owned files, which no update touches.
USERS_OWN = re.compile(
    r"README\.md$|alembic/versions/.*\.py|app/modules/.+/|tests/modules/test_|docs/openapi\.json"
)
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "Test", "EMAIL": "test@example.com"}.items()
}


def make_repository(folder: Path) -> Path:
    """Create a repository with one tag per release and one for the working tree.

    Raises LookupError for a release whose commit is not in this clone.
    """
    folder.mkdir()
    git(folder, "init", "--quiet")
    for version, sha in RELEASES.items():
        check_out(sha, folder)
        commit(folder, f"v{version}")
    clear(folder)
    copy_template(folder)
    commit(folder, f"v{WORKING_TREE}")
    # Each render and each update clones it, which takes longer with thousands of files.
    git(folder, "gc", "--quiet")
    return folder


def check_out(sha: str, folder: Path) -> None:
    """Replace the files in a folder with the template's files of a commit."""
    check_known(sha)
    archive = subprocess.run(["git", "archive", sha], cwd=ROOT, capture_output=True, check=True)
    clear(folder)
    subprocess.run(["tar", "--extract"], cwd=folder, input=archive.stdout, check=True)


def check_known(sha: str) -> None:
    """Raise LookupError if a commit is not in this clone."""
    known = ["git", "cat-file", "-e", f"{sha}^{{commit}}"]
    if subprocess.run(known, cwd=ROOT, capture_output=True, check=False).returncode:
        raise LookupError(
            f"{sha} of tests/releases.toml is not in this clone; get the whole history:"
            " git fetch --unshallow"
        )


def clear(folder: Path) -> None:
    git(folder, "rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".")


def commit(repository: Path, tag: str | None = None) -> None:
    """Commit everything; optionally add a tag."""
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "State")
    if tag:
        git(repository, "tag", tag)


def git(folder: Path, *arguments: str) -> str:
    """Run git with a test identity; return its output."""
    # Keep warnings about line endings out of the output.
    command = ["git", "-c", "core.safecrlf=false", *arguments]
    return run(command, folder, status=0, **IDENTITY).stdout


def files(project: Path) -> dict[str, bytes]:
    """Return a project's tracked and untracked files, without ignored ones."""
    listed = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = {name for name in listed.split("\0") if name and (project / name).exists()}
    return {name: (project / name).read_bytes() for name in sorted(names)}


def in_conflict(project: Path) -> set[str]:
    """Return the unmerged files."""
    return set(git(project, "diff", "--name-only", "--diff-filter=U").split())


def unlike(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    """Return the files that differ between the two, or exist in only one."""
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
