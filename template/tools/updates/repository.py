"""The project's git repository, as the other modules of this folder need it."""

import os
import subprocess
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

# The variable is for projects of releases without this code.
PROJECT_ROOT = Path(os.environ.get("PROJECT_FOLDER") or Path(__file__).parents[2]).resolve()
ANSWERS = ".copier-answers.yml"
# Exists while an update changes the project.
UNFINISHED = "tools/updates/unfinished_update.md"
INTERRUPTED = """\
An update was interrupted while it changed the project. Abort it, and start again:

    git restore --source=HEAD --staged --worktree . && git clean -d --force .

If it is committed, revert that commit first. If you have completed it by hand, delete
tools/updates/unfinished_update.md.
"""

# Git sets some of these in hooks; all of them would apply to the temporary repositories, too.
for name in (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"),
    *("GIT_TEMPLATE_DIR", "GIT_ATTR_SOURCE", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
):
    os.environ.pop(name, None)


class UpdateError(RuntimeError):
    """The update or its check cannot be done; the message names the reason and the way out."""


def git(
    *arguments: str,
    folder: Path = PROJECT_ROOT,
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
    accept: Container[int] = (0,),
) -> bytes:
    """Return what git prints in a folder, given bytes on its standard input.

    Raises UpdateError with git's message if its exit status is not one of those to accept.
    """
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=given,
            env=os.environ | (variables or {}),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise UpdateError("git is not on the PATH; install it") from None
    if done.returncode not in accept:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise UpdateError(f"git {arguments[0]}: {reason}")
    return done.stdout


def git_paths(
    *arguments: str,
    folder: Path = PROJECT_ROOT,
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
    accept: Container[int] = (0,),
) -> list[str]:
    """Return the NUL-separated entries that `git` prints."""
    printed = git(*arguments, folder=folder, given=given, variables=variables, accept=accept)
    return [os.fsdecode(entry) for entry in printed.split(b"\0") if entry]


def read_committed(commit: str, paths: list[str], folder: Path = PROJECT_ROOT) -> dict[str, bytes]:
    """Return the content of files in a commit, without those that it does not have.

    Names with line breaks, which git does not read here, are left out.
    """
    paths = [path for path in paths if "\n" not in path]
    asked = "".join(f"{commit}:./{path}\n" for path in paths)
    printed = git("cat-file", "--batch", folder=folder, given=os.fsencode(asked))
    contents = {}
    for path in paths:
        header, _, printed = printed.partition(b"\n")
        if not header.endswith(b" missing"):
            size = int(header.rpartition(b" ")[2])
            contents[path], printed = printed[:size], printed[size + 1 :]
    return contents


def print_all(lines: Iterable[str]) -> None:
    """Print lines; names of files may contain bytes that the terminal's encoding lacks."""
    for line in lines:
        print(line.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def read_files(folder: Path, paths: list[str]) -> dict[str, bytes]:
    """Return the content of files in a folder, without those that do not exist.

    The content of a symbolic link is its target, as in git.
    """
    contents = {}
    for path in paths:
        file = folder / path
        if file.is_symlink():
            contents[path] = os.fsencode(file.readlink())
        elif file.is_file():
            contents[path] = file.read_bytes()
    return contents
