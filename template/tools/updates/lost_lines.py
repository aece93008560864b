# /// script
# requires-python = ">=3.11"
# dependencies = ["copier>=9.19.1", "pyyaml>=6.0.3"]
# ///
"""Check that an update lost no line and no file of yours.

Each file that the update changed is compared with a render of the version that the project followed
before: what is not in that render is yours. `nox -s update` checks before it changes the project;
`nox -s lint` checks after a plain `copier update`, until that is committed. While a conflict breaks
pyproject.toml or noxfile.py, run: uv run --script tools/updates/lost_lines.py
"""

import os
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

# Run by its path, without an environment of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.updates.comparison import find_lost, find_restored
from tools.updates.old_version import parse_answers, render_version
from tools.updates.repository import (
    ANSWERS,
    PROJECT_ROOT,
    UNFINISHED,
    UpdateError,
    git,
    git_paths,
    print_all,
    read_committed,
    read_files,
)

LOST = (
    "The update lost these edits of yours. Abort it and use `nox -s update`, or restore them from"
    " git. If you removed the lines yourself after the update, commit it with --no-verify; see"
    " docs/updating.md."
)


def find_base() -> str:
    """Return the commit before the update: HEAD, unless an unfinished update is committed.

    Raises UpdateError if the history does not reach back to it.
    """
    if not git("ls-tree", "HEAD", UNFINISHED):
        return "HEAD"
    added = git("log", "-1", "--format=%H", "--diff-filter=A", "--", UNFINISHED).decode().strip()
    return git("rev-parse", "--verify", f"{added}^").decode().strip()


def check_update() -> list[str]:
    """Return what the update in the working tree lost, or restored although it was removed.

    Raises UpdateError if the state before the update, or its version of the template, is missing.
    """
    base = find_base()
    changed = git_paths("diff", "--name-only", "--no-renames", "--relative", "-z", base, "--", ".")
    added = git_paths("ls-files", "--others", "--exclude-standard", "-z")
    compared = [path for path in [*changed, *added] if path != ANSWERS]
    before, after = read_committed(base, compared), read_files(PROJECT_ROOT, compared)
    rendered = render_version(parse_answers(read_committed(base, [ANSWERS]).get(ANSWERS, b"")))
    files = rendered, before, after
    return [*find_lost(*files), *find_restored(*files), *find_ignored(base, rendered)]


def find_ignored(base: str, rendered: Iterable[str]) -> Iterator[str]:
    """Yield those of the template's files that git ignores: their edits cannot be compared."""
    tracked = git_paths("ls-tree", "-r", "-z", "--name-only", base)
    for path in ignored_by_git({*rendered} - {*tracked}):
        yield f"{path}: ignored by git, so the update may have overwritten or deleted your edits"


def ignored_by_git(paths: Iterable[str]) -> list[str]:
    """Return those of the paths that git ignores; they need not exist."""
    names = os.fsencode("".join(f"{path}\0" for path in sorted(paths)))
    # The exit status is 1 if there is no such path.
    return git_paths("check-ignore", "-z", "--stdin", given=names, accept=(0, 1))


def record_check() -> None:
    """Remember, outside of the working tree, that the update in it has been checked."""
    _record().write_text(_state(), "utf-8")


def is_checked() -> bool:
    """Return whether there is no update since the last commit, or it has been checked."""
    if not git("diff", "--name-only", "HEAD", "--", ANSWERS):
        return True
    return _record().exists() and _record().read_text("utf-8") == _state()


def _record() -> Path:
    return PROJECT_ROOT / os.fsdecode(git("rev-parse", "--git-path", "checked-update")[:-1])


def _state() -> str:
    """Return what identifies an update: the project, its last commit and its new answers."""
    file = PROJECT_ROOT / ANSWERS
    answers = sha256(file.read_bytes()).hexdigest()
    # An update that is aborted and repeated writes the file again.
    written = file.stat().st_mtime_ns
    return f"{PROJECT_ROOT} {git('rev-parse', 'HEAD').decode().strip()} {answers} {written}"


def main() -> None:
    unfinished = PROJECT_ROOT / UNFINISHED
    try:
        if not unfinished.exists() and is_checked():
            return
        lost = check_update()
    except UpdateError as error:
        lost = [f"The update cannot be checked for lost edits: {error}"]
    else:
        lost += [LOST] if lost else []
    print_all(lost)
    if unfinished.exists():
        sys.exit(unfinished.read_text("utf-8"))
    if lost:
        sys.exit(1)
    record_check()


if __name__ == "__main__":
    main()
