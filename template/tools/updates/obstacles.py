"""Conditions that prevent an update, found before anything is written."""

import os
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tools.updates import git_settings
from tools.updates.repository import PROJECT_ROOT, UpdateError, git, git_paths

# In bytes; a patch repeats the text, with context and the names of files.
MAX_TEXT = 2**29


def find_unclean() -> Iterator[str]:
    """Yield uncommitted changes and rejected edits, anywhere in the repository."""
    options = ("--porcelain", "--no-renames", "--untracked-files=normal", "--ignored", "-z")
    for entry in git_paths("status", *options):
        kind, path = entry[:2], entry[3:]
        if path.endswith(".rej"):
            yield f"{path}: rejected edits of an earlier update; apply them, then delete the file"
        elif kind != "!!":
            yield f"{path}: uncommitted; commit or stash it"


def find_large() -> Iterator[str]:
    """Yield the size of the text in the project, if git cannot compare as much."""
    sizes = [entry.split()[3] for entry in git_paths("ls-tree", "-r", "-l", "-z", "HEAD")]
    limit = int(git_settings.SETTINGS["core.bigFileThreshold"])
    size = sum(int(size) for size in sizes if size.isdecimal() and int(size) < limit)
    if size > MAX_TEXT:
        yield (
            f"{size / 2**30:.1f} GiB of text in the project: git cannot compare more than"
            f" {MAX_TEXT / 2**30:.1f} GiB; move data out of the project's folder"
        )


def find_hidden(paths: Iterable[str]) -> list[str]:
    """Return, of the template's paths, those where git does not see edits, with the reason."""
    entries = (entry.split(" ", 1) for entry in git_paths("ls-files", "-v", "-z"))
    tags = {path: tag for tag, path in entries}
    found = (_blocked(path, tags) or _hidden(path, tags.get(path)) for path in sorted(paths))
    return [*dict.fromkeys(filter(None, found))]


def _blocked(path: str, tags: Container[str]) -> str | None:
    """Return what takes the place of one of the folders that contain a path.

    Of folders, git lists only submodules.
    """
    for folder in reversed(Path(path).parents[:-1]):
        place = PROJECT_ROOT / folder
        if place.is_symlink():
            return f"{folder}: symbolic link, which git does not follow; replace it with a folder"
        if place.is_dir() and folder.as_posix() in tags:
            return f"{folder}: submodule, which an update cannot change; move it to another path"
        if place.is_file():
            return f"{folder}: file where the template has a folder; rename it"
    return None


def _hidden(path: str, tag: str | None) -> str | None:
    """Return why git does not see edits at a path, given its tag of `git ls-files -v`, if any."""
    file = PROJECT_ROOT / path
    if file.is_dir() and not file.is_symlink():
        return f"{path}: folder where the template has a file; rename it"
    if tag is None and os.path.lexists(file):
        return (
            f"{path}: file of the template that git ignores{_rule(path)}; commit it with git add"
            " --force, or move it out of the project"
        )
    if tag and (tag.islower() or tag == "S"):
        return (
            f"{path}: git does not look for changes in it; run git update-index"
            f" --no-assume-unchanged --no-skip-worktree {path}"
        )
    return None


def _rule(path: str) -> str:
    """Return where a path is ignored, in parentheses; an empty string if git does not say."""
    with suppress(UpdateError):
        printed = git("check-ignore", "--verbose", path).decode("utf-8", "replace")
        rule, _, _ = printed.partition("\t")
        return f" ({rule})"
    return ""
