"""What `tools/updates/moves.py` needs from git: files, contents and three-way merges."""

import os
import re
import tempfile
from pathlib import Path

from tools.updates.repository import git, git_paths

# Those of Copier: https://copier.readthedocs.io/en/stable/updating/
LABELS = ("before updating", "last update", "after updating")
MARKER = re.compile(rb"^(<{7}|>{7}) .*", re.MULTILINE)


def list_files(root: Path, *options: str) -> list[str]:
    """Return what `git ls-files` lists, with paths relative to the project."""
    return sorted({*git_paths("ls-files", "-z", *options, folder=root)})


def files_with(root: Path, text: str) -> list[str]:
    """Return the files that contain a text, except those that git ignores."""
    options = ("--untracked", "--no-recurse-submodules", "--no-color", "-lzF", "-e", text)
    # The exit status is 1 if there is no such file.
    grep = ("-c", "grep.fullName=false", "grep", *options)
    return sorted({*git_paths(*grep, folder=root, accept=(0, 1))})


def read(file: Path) -> bytes:
    """Return the content of a file, with Unix line endings; empty for a link or none."""
    is_there = file.is_file() and not file.is_symlink()
    return file.read_bytes().replace(b"\r\n", b"\n") if is_there else b""


def merge(
    root: Path, ours: bytes, base: bytes, theirs: bytes, labels: tuple[str, ...] = LABELS
) -> bytes:
    """Return a three-way merge, with Unix line endings and possibly with conflict markers.

    As in Copier's merges, the markers have the style that is configured for the project.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("ours", "base", "theirs")]
        for file, content in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(content.replace(b"\r\n", b"\n"))
        options = [option for label in labels for option in ("-L", label)]
        command = ("merge-file", "--stdout", *options, *map(str, files))
        # The exit status is the number of conflicts, at most 127; 255 for an error.
        return git(*command, folder=root, accept=range(128))


def replace(file: Path, text: bytes) -> None:
    """Replace the text of a file atomically, unless it is the same, and keep its line endings."""
    current = file.read_bytes()
    if b"\r\n" in current:
        text = text.replace(b"\n", b"\r\n")
    if current == text:
        return
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as copy:
            copy.write(text)
        os.chmod(name, file.stat().st_mode)
        os.replace(name, file)
    finally:
        Path(name).unlink(missing_ok=True)
