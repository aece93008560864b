"""Conflicts of an update from each release: by place in each file, and for the edits of a team."""

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.rendering import COPIER
from benchmarks.workbench import Workbench
from tests.support.projects import render, run
from tests.support.repositories import (
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    commit,
    files,
    git,
    in_conflict,
    make_repository,
)
from tests.support.team import edit_as_a_team

# The files of 0.1.0 are almost the same.
FIRST = "0.2.0"
OWN_LINE = b"# A line of the project's own.\n"
MARKER = b"<<<<<<< "


def measure(bench: Workbench) -> dict[str, Any]:
    """Return, by release, the conflicting and all places of each file, and a team's conflicts."""
    # The developer's git configuration could change what conflicts.
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    folder = bench.folder / "updates"
    folder.mkdir()
    template = make_repository(folder / "template")
    new = made(template, folder, WORKING_TREE)
    measured = [*RELEASES][[*RELEASES].index(FIRST) :]
    figures: dict[str, Any] = {"places": {}, "team": {}}
    for release in measured:
        old = made(template, folder, release)
        figures["places"][release] = dict(by_share(old, new, folder))
        figures["team"][release] = team_conflicts(old)
    return figures


def made(template: Path, folder: Path, release: str) -> Path:
    """Render and commit the default project of a release."""
    project = render(template, folder / release, version=release)
    git(project, "init", "--quiet")
    commit(project)
    return project


def by_share(old: Path, new: Path, folder: Path) -> list[tuple[str, tuple[int, int]]]:
    """Return each file's conflicting places and all its places, the largest share first."""
    found = [(name, places(old / name, new / name, folder)) for name in merged_files(old, new)]
    conflicting = [(name, counts) for name, counts in found if counts[0]]
    return sorted(conflicting, key=lambda file: file[1][0] / file[1][1], reverse=True)


def merged_files(old: Path, new: Path) -> Iterator[str]:
    """Yield the files that an update changes, except those whose edits it leaves alone."""
    before, after = files(old), files(new)
    for name in before.keys() & after.keys() - {".copier-answers.yml"}:
        if before[name] != after[name] and not USERS_OWN.match(name):
            yield name


def places(old: Path, new: Path, folder: Path) -> tuple[int, int]:
    """Return at how many places a line added to `old` conflicts with `new`, and all places.

    Copier tries `git apply` first, which rejects what this merge rejects.
    """
    lines = old.read_bytes().splitlines(keepends=True)
    edited = folder / "edited"
    conflicting = 0
    for number in range(len(lines) + 1):
        edited.write_bytes(b"".join([*lines[:number], OWN_LINE, *lines[number:]]))
        merge = ["git", "merge-file", "--stdout", "--quiet", str(edited), str(old), str(new)]
        conflicting += bool(
            subprocess.run(merge, stdout=subprocess.DEVNULL, check=False).returncode
        )
    return conflicting, len(lines) + 1


def team_conflicts(project: Path) -> dict[str, int]:
    """Make the edits of a team, update, and return the conflicts of each file."""
    edit_as_a_team(project)
    commit(project)
    # A process of its own: Copier reads the environment when it is imported.
    run([*COPIER, "update", "--defaults", "--quiet"], project)
    return {
        name: (project / name).read_bytes().count(MARKER) for name in sorted(in_conflict(project))
    }


def versions() -> str:
    """Return the versions of the programs that merge."""
    return f"copier {version('copier')}, {git(Path.cwd(), '--version').strip()}"
