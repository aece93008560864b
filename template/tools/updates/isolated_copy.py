"""A temporary repository with the committed files of the project, and nothing else.

Copier updates this copy instead of the project. Whatever goes wrong there, the project stays as it
was, and Copier cannot touch the rest of a larger repository. The copy contains the bytes that git
stores; when its changes are moved to the project, git converts them as in any checkout.
"""

import os
import stat
from pathlib import Path

from tools.updates import git_settings
from tools.updates.repository import INTERRUPTED, PROJECT_ROOT, UNFINISHED, git, git_paths

# No conversion of line endings, no filters such as that of git-lfs.
ATTRIBUTES = "* -text !eol !filter !ident !working-tree-encoding\n"
IDENTITY = {
    f"GIT_{name}": "update"
    for name in ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
}


def make_copy(folder: Path) -> None:
    """Create the repository, with one commit, in a folder that does not exist."""
    variables = git_settings.variables() | IDENTITY
    git("init", "--quiet", str(folder), variables=variables)
    objects = PROJECT_ROOT / os.fsdecode(git("rev-parse", "--git-path", "objects")[:-1])
    alternates = folder / ".git/objects/info/alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_bytes(os.fsencode(objects.resolve()) + b"\n")
    attributes = folder / ".git/info/attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text(ATTRIBUTES, "utf-8")
    tree = git("rev-parse", f"HEAD:{prefix()}").decode().strip()
    made = git("commit-tree", "-m", "The project", tree, folder=folder, variables=variables)
    git("reset", "--quiet", "--hard", made.decode().strip(), folder=folder, variables=variables)


def prefix() -> str:
    """Return the project's path in its repository, with a slash at the end unless it is empty."""
    return os.fsdecode(git("rev-parse", "--show-prefix")[:-1])


def find_changes(copy: Path) -> list[str]:
    """Return the paths that differ from the commit, even if the project ignores them."""
    listed = ("ls-files", "-z", "--modified", "--deleted", "--others")
    return sorted(set(git_paths(*listed, folder=copy, variables=git_settings.variables())))


def move_changes(copy: Path, changes: list[str]) -> None:
    """Write the changes to the project, unstaged, and its conflicts to the index.

    While this runs, a file in the project says so.
    """
    marker = PROJECT_ROOT / UNFINISHED
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(INTERRUPTED, "utf-8")
    write([path for path in changes if (copy / path).exists()], copy)
    for path in changes:
        if not (copy / path).exists():
            delete(PROJECT_ROOT, path)
    record_conflicts(copy)
    delete(PROJECT_ROOT, UNFINISHED)


def write(paths: list[str], copy: Path) -> None:
    """Check files out from an index of their own, in which only they are."""
    if not paths:
        return
    names = "".join(f"{copy / path}\n" for path in paths)
    store = ("hash-object", "-w", "--no-filters", "--stdin-paths")
    hashes = git(*store, given=os.fsencode(names)).decode().split()
    entries = "".join(
        f"{file_mode(copy / path)} {stored}\t{prefix()}{path}\0"
        for path, stored in zip(paths, hashes, strict=True)
    )
    index = {"GIT_INDEX_FILE": str(copy / ".git/written")}
    git("update-index", "-z", "--index-info", given=os.fsencode(entries), variables=index)
    top = Path(os.fsdecode(git("rev-parse", "--show-toplevel")[:-1]))
    git("checkout-index", "--all", "--force", folder=top, variables=index)


def file_mode(file: Path) -> str:
    """Return git's mode of a file; os.access would deny all in a folder mounted with noexec."""
    return "100755" if file.stat().st_mode & stat.S_IXUSR else "100644"


def delete(root: Path, path: str) -> None:
    """Delete a file of a project, and folders that are empty then."""
    (root / path).unlink(missing_ok=True)
    for folder in Path(path).parents:
        if folder == Path() or any((root / folder).iterdir()):
            return
        (root / folder).rmdir()


def record_conflicts(copy: Path) -> None:
    """Record the unmerged files of the copy, with their three versions, in the project's index."""
    removed, added = {}, []
    for entry in git_paths("ls-files", "--unmerged", "-z", folder=copy):
        about, _, path = entry.partition("\t")
        mode, blob, stage = about.split()
        git("hash-object", "-w", "--stdin", given=git("cat-file", "blob", blob, folder=copy))
        removed[path] = f"0 {'0' * 40}\t{prefix()}{path}\0"
        added.append(f"{mode} {blob} {stage}\t{prefix()}{path}\0")
    entries = "".join([*removed.values(), *added])
    git("update-index", "-z", "--index-info", given=os.fsencode(entries))
