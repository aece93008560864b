# /// script
# requires-python = ">=3.11"
# ///
"""Apply edits of files that moved at their new paths, and delete stubs that nothing uses.

An update leaves a stub, `# Moved to …`, at the old path of a file that the template moved; a file
that was edited is in conflict with it. The edits are merged into the file at the new path, and the
stub is written back. It needs only Python and git, because a conflict may break pyproject.toml. An
optional argument is the project's folder.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

# Run by its path, without an environment of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.updates.move_merges import (
    LABELS,
    MARKER,
    files_with,
    list_files,
    merge,
    read,
    replace,
)
from tools.updates.move_stubs import find_uses, moved_to, stub_in_conflict
from tools.updates.repository import PROJECT_ROOT, UpdateError, git

# The contents of a file in conflict, by stage: 1 last update, 2 before updating, 3 after updating.
Stages = dict[str, bytes]


def find_conflicts(root: Path) -> Iterator[tuple[str, Stages]]:
    """Yield the files in conflict, also after `git add`, for which git keeps the stages."""
    unmerged = list_files(root, "--unmerged")
    files: dict[str, Stages] = {}
    for line in [*list_files(root, "--resolve-undo"), *unmerged]:
        entry, _, name = line.partition("\t")
        _, content, stage = entry.split()
        if line in unmerged or MARKER.search(read(root / name)):
            files.setdefault(name, {})[stage] = git("cat-file", "blob", content, folder=root)
    yield from sorted(files.items())


def apply_edits(root: Path, old: str, new: str, stages: Stages, edited: bytes) -> str:
    """Merge the edits of a file into the one at its new path; return what is left to do."""
    base, stub = stages.get("1", b""), stages["2" if edited == stages["3"] else "3"]
    as_updated = merge(root, stages["2"], base, stages["3"])
    is_untouched = plain(read(root / old)) in {plain(as_updated), stub}
    labels = (f"{LABELS[0]} ({old})", *LABELS[1:])
    current = read(root / new)
    is_applied = f"<<<<<<< {labels[0]}\n".encode() in current
    if not base:
        return f"not a file of the template; keep your version, then: git add {old}"
    if not is_untouched:
        return f"changed since the update; apply your edits in {new} by hand, then: git add {old}"
    if not current:
        return f"{new} does not exist; restore it, and run this again"
    if MARKER.search(current) and not is_applied:
        return f"resolve the conflicts in {new}, and run this again"
    merged = current if is_applied else merge(root, edited, base, current, labels)
    # In this order, an interrupted run can be repeated.
    replace(root / new, merged)
    replace(root / old, stub)
    git("add", "--force", "--", old, folder=root)
    return f"resolve the conflicts in {new}" if MARKER.search(merged) else ""


def plain(text: bytes) -> bytes:
    """Return a text without the labels of conflict markers: `git checkout --merge` changes them."""
    return MARKER.sub(rb"\1", text)


def apply_all_edits(root: Path) -> Iterator[tuple[str, bool]]:
    """Apply the edits of each moved file; yield a report, and whether nothing is left to do."""
    conflicts = dict(find_conflicts(root))
    for old, stages in conflicts.items():
        # A merge of a branch in which the file was edited has the stub on the other side.
        for edited, stub in (("2", "3"), ("3", "2")):
            if edited in stages and (new := moved_to(old, stages.get(stub, b""))):
                left = apply_edits(root, old, new, stages, stages[edited])
                yield f"{old}: {left or f'edits applied in {new}'}", not left
    for name in files_with(root, "Moved to "):
        text = read(root / name)
        if (new := moved_to(name, text)) and (root / f"{name}.rej").exists():
            yield f"{name}.rej: apply these edits in {new} by hand, then delete it", False
        elif name not in conflicts and (new := stub_in_conflict(name, text)):
            yield f"{name}: in a committed conflict; apply your edits in {new} by hand", False


def find_stubs(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the old and new path of each stub in the project."""
    for old in files_with(root, "Moved to "):
        if new := moved_to(old, read(root / old)):
            yield old, new


def delete_stubs(root: Path) -> Iterator[str]:
    """Delete the stubs that nothing uses; yield a report on each."""
    for old, new in find_stubs(root):
        if uses := [*find_uses(root, files_with(root, Path(old).stem), old)]:
            yield f"{old}: kept; change these to {new}: {', '.join(uses)}"
        else:
            (root / old).unlink()
            yield f"{old}: deleted; nothing uses it"


def has_conflicts(root: Path) -> bool:
    marked = files_with(root, "<<<<<<< ")
    unmerged = list_files(root, "--unmerged")
    return bool(unmerged) or any(MARKER.search(read(root / name)) for name in marked)


def main(root: Path) -> bool:
    """Print what was done; return whether nothing is left to do."""
    is_done = True
    for report, applied in apply_all_edits(root):
        print(report)
        is_done = is_done and applied
    if any(find_stubs(root)) and has_conflicts(root):
        print("Resolve the conflicts, and run this again to delete the stubs that nothing uses.")
        return False
    for report in delete_stubs(root) if is_done else ():
        print(report)
    return is_done


if __name__ == "__main__":
    try:
        sys.exit(not main(Path(sys.argv[1]) if sys.argv[1:] else PROJECT_ROOT))
    except UpdateError as error:
        sys.exit(str(error))
