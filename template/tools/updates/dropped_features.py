# /// script
# requires-python = ">=3.11"
# dependencies = ["copier>=9.19.1", "pyyaml>=6.0.3"]
# ///
"""Delete the unedited files of features that an update drops, and report what still uses them.

Copier would delete edited files as well, so an update still renders all files of these features.
`nox -s update` deletes the unedited ones before it changes the project; `nox -s lint` does after a
plain `copier update`, until that is committed.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Run by its path, without an environment of the project.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.updates.isolated_copy import delete
from tools.updates.move_merges import files_with
from tools.updates.move_stubs import find_uses, last_name
from tools.updates.old_version import parse_answers, render_version
from tools.updates.repository import (
    ANSWERS,
    PROJECT_ROOT,
    UpdateError,
    print_all,
    read_committed,
    read_files,
)

USED = (
    "This update drops the features that these lines use: change them, or abort the update. If they"
    " use files that you keep as your own, commit with --no-verify. See docs/updating.md."
)


def find_files(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files, as updated, of the features that only the answers before an update have.

    Raises UpdateError if the new version cannot be rendered.
    """
    if {*before.get("features", [])} <= {*after.get("features", [])}:
        return {}
    # Alike but for the features: neither renders modules that the other one does not.
    updated, others = (
        render_version({**after, "previous": {**before, "features": features}})
        for features in (before.get("features", []), after.get("features", []))
    )
    return {path: text for path, text in updated.items() if path not in others}


def delete_unedited(root: Path, files: Mapping[str, bytes]) -> list[str]:
    """Delete those of the files that a project has unchanged; return a report on the others."""
    found = read_files(root, sorted(files))
    edited = [path for path, text in found.items() if text.replace(b"\r\n", b"\n") != files[path]]
    for path in found.keys() - {*edited}:
        delete(root, path)
    return [f"{path}: file of a dropped feature, kept because you edited it" for path in edited]


def find_used(root: Path, files: Iterable[str]) -> Iterator[str]:
    """Yield the places in a project that import or mention the files."""
    packages = {Path(path).parent for path in files if path.endswith("/__init__.py")}
    for path in sorted(files):
        # The name of a package is part of the names of its modules.
        if path.endswith("/__init__.py") or not packages.intersection(Path(path).parents):
            for use in find_uses(root, files_with(root, last_name(path)), path):
                yield f"{use}: uses {path} of a dropped feature"


def main() -> None:
    try:
        versions = read_committed("HEAD", [ANSWERS]), read_files(PROJECT_ROOT, [ANSWERS])
        files = find_files(*(parse_answers(version.get(ANSWERS, b"")) for version in versions))
        print_all(delete_unedited(PROJECT_ROOT, files))
        used = [*find_used(PROJECT_ROOT, files)]
    except UpdateError as error:
        sys.exit(f"The files of dropped features cannot be found: {error}")
    print_all(used)
    # Documents work with a dead link, and an update never changes README.md.
    if any(".md:" not in use for use in used):
        sys.exit(USED)


if __name__ == "__main__":
    main()
