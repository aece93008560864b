# /// script
# requires-python = ">=3.11"
# dependencies = ["copier>=9.19.1", "pyyaml>=6.0.3"]
# ///
"""Update from the template: uv run nox -s update -- [ARGUMENTS OF COPIER UPDATE].

Nothing is written to the project unless the update is complete and no edit is lost.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

# Run by its path, without an environment of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.updates import dropped_features, isolated_copy, lost_lines, obstacles
from tools.updates.comparison import find_lost, find_restored
from tools.updates.conflicts import find_conflicts
from tools.updates.old_version import parse_answers, render_version, run_copier
from tools.updates.repository import (
    ANSWERS,
    INTERRUPTED,
    PROJECT_ROOT,
    UNFINISHED,
    UpdateError,
    git,
    print_all,
    read_committed,
    read_files,
)

LOST = (
    "The update would lose these lines and files of yours. Store edits as UTF-8 text, and move a"
    " file that the new version lacks to another path (git mv). Otherwise, commit the files without"
    " these lines, update, and add them again."
)


def update(arguments: list[str], folder: Path) -> list[str]:
    """Update the project, with a folder for temporary files; return what to print.

    Raises UpdateError, and changes nothing, if edits could be lost.
    """
    commit = find_commit()
    reject([*obstacles.find_unclean(), *obstacles.find_large()])
    answers = parse_answers(read_committed(commit, [ANSWERS]).get(ANSWERS, b""))
    rendered = render_version(answers)
    reject(obstacles.find_hidden(rendered))
    copy = folder / "project"
    isolated_copy.make_copy(copy)
    options = ["--defaults", *(option for option in arguments if option != "--defaults")]
    printed = run_copier("update", *options, str(copy))
    dropped = dropped_features.find_files(answers, parse_answers((copy / ANSWERS).read_bytes()))
    kept = dropped_features.delete_unedited(copy, dropped)
    changes = isolated_copy.find_changes(copy)
    compared = [path for path in changes if path != ANSWERS]
    files = rendered, read_committed(commit, compared), read_files(copy, compared)
    if lost := [*find_lost(*files)]:
        reject([*lost, LOST])
    reject(obstacles.find_hidden(changes))
    # Copier has taken a while.
    reject([*obstacles.find_unclean()])
    if find_commit() != commit:
        raise UpdateError(f"HEAD is no longer {commit[:12]}, as when the update began; repeat it")
    report = [printed, *find_exceptions(rendered, changes), *find_restored(*files)]
    report += [*kept, *dropped_features.find_used(copy, dropped)]
    isolated_copy.move_changes(copy, changes)
    return report


def find_exceptions(rendered: Iterable[str], changes: Iterable[str]) -> Iterator[str]:
    """Yield the files that an update leaves alone, and those of its changes that git ignores."""
    for path in sorted(rendered):
        if (PROJECT_ROOT / path).is_symlink():
            yield f"{path}: symbolic link, not updated"
    for path in lost_lines.ignored_by_git(changes):
        yield f"{path}: new file that git ignores; add it with git add --force"


def find_commit() -> str:
    """Return the last commit.

    Raises UpdateError if there is none, or the previous update is not finished.
    """
    if (PROJECT_ROOT / UNFINISHED).exists():
        raise UpdateError(f"{UNFINISHED} exists.")
    try:
        return git("rev-parse", "--verify", "HEAD").decode().strip()
    except UpdateError as error:
        if "not a git repository" in str(error) or "Needed a single revision" in str(error):
            way_out = 'git init && git add . && git commit -m "Initial commit"'
            raise UpdateError(f"An update compares with the last commit: {way_out}") from None
        raise


def reject(reasons: list[str]) -> None:
    """Raise UpdateError if there are reasons not to update."""
    if reasons:
        raise UpdateError("\n".join(reasons))


def main() -> None:
    with TemporaryDirectory(prefix="update-", ignore_cleanup_errors=True) as folder:
        try:
            report = update(sys.argv[1:], Path(folder))
        except (UpdateError, OSError, KeyboardInterrupt) as error:
            print_all([str(error) or "Interrupted."])
            if (PROJECT_ROOT / UNFINISHED).exists():
                sys.exit(INTERRUPTED)
            sys.exit("The project is unchanged; see docs/updating.md.")
    lost_lines.record_check()
    print_all(report)
    # By the code of the old version: nobody has reviewed that of the new one yet.
    if found := [*find_conflicts(PROJECT_ROOT)]:
        print_all(found)
        sys.exit("Resolve these conflicts; see docs/updating.md.")


if __name__ == "__main__":
    main()
