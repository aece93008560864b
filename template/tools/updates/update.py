# /// script
# requires-python = ">=3.11"
# dependencies = ["copier>=9.19.1", "pyyaml>=6.0.3"]
# ///
"""Update from the template: uv run nox -s update -- [ARGUMENTS OF COPIER UPDATE].

Nothing is written to the project unless the update is complete and no edit is lost.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

# Run by its path, without an environment of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.updates import isolated_copy, lost_lines, obstacles
from tools.updates.conflicts import find_conflicts
from tools.updates.old_version import render_version, run_copier
from tools.updates.repository import (
    ANSWERS,
    INTERRUPTED,
    PROJECT_ROOT,
    UNFINISHED,
    UpdateError,
    git,
    read_committed,
    read_files,
)

LOST = (
    "The update would lose these lines and files of yours. Store edits as UTF-8 text; otherwise"
    " commit the files without them, update, and apply them again."
)


def update(arguments: list[str], folder: Path) -> str:
    """Update the project, with a folder for temporary files; return what Copier printed.

    Raises UpdateError, and changes nothing, if edits could be lost.
    """
    require_commit()
    reject([*obstacles.find_unclean(), *obstacles.find_large()])
    rendered = render_version(read_committed("HEAD", [ANSWERS]).get(ANSWERS, b""), folder)
    reject(obstacles.find_hidden(rendered))
    copy = folder / PROJECT_ROOT.name
    isolated_copy.make_copy(copy)
    printed = run_copier("update", "--defaults", *arguments, str(copy))
    changes = isolated_copy.find_changes(copy)
    compared = [path for path in changes if path != ANSWERS]
    before, after = read_committed("HEAD", compared), read_files(copy, compared)
    if lost := [*lost_lines.find_lost(rendered, before, after)]:
        reject([*lost, LOST])
    reject(obstacles.find_hidden(changes))
    isolated_copy.move_changes(copy, changes)
    lost_lines.record_check()
    links = [path for path in sorted(rendered) if (PROJECT_ROOT / path).is_symlink()]
    return "\n".join([printed, *(f"{path}: symbolic link, not updated" for path in links)])


def require_commit() -> None:
    """Raise UpdateError unless the last update is finished, and there is a commit."""
    if (PROJECT_ROOT / UNFINISHED).exists():
        raise UpdateError(f"{UNFINISHED} exists.")
    try:
        git("rev-parse", "--verify", "HEAD")
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
    try:
        with TemporaryDirectory(prefix="update-", ignore_cleanup_errors=True) as folder:
            print(update(sys.argv[1:], Path(folder)))
    except (UpdateError, OSError, KeyboardInterrupt) as error:
        print(str(error) or "Interrupted.")
        if (PROJECT_ROOT / UNFINISHED).exists():
            sys.exit(INTERRUPTED)
        sys.exit("The project is unchanged; see docs/updating.md.")
    # By the code of the old version: nobody has reviewed that of the new one yet.
    if found := [*find_conflicts(PROJECT_ROOT)]:
        print(*found, sep="\n")
        sys.exit("Resolve these conflicts; see docs/updating.md.")


if __name__ == "__main__":
    main()
