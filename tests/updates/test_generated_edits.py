"""Generated edits of a project: an update keeps every line that a user added."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.moves import MOVED
from tests.support.projects import ROOT, Project, update
from tests.support.repositories import (
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    commit,
    files,
    in_conflict,
)

# In the project, by the position of a file among its files and of a line among its lines.
Files = dict[str, list[bytes]]
Edit = Callable[[Files, bytes], None]
ANSWERS = ".copier-answers.yml"
position = st.integers(min_value=0, max_value=999)
words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
new_names = st.sampled_from(
    [
        "notes.md",
        "a folder/with a space.txt",
        "café/ünï.txt",
        'quo"ted.txt',
        "app/core/clock.py",
        "app/modules/shop/models.py",
        # Paths that a later version of the template renders.
        "tools/updates/conflicts.py",
        "tools/schema.py",
        "app/modules/invoice/models.py",
        "app/worker.py",
        ".github/workflows/template.yml",
    ]
)


def pick(project: Files, which: int) -> str | None:
    names = sorted(project.keys() - {ANSWERS})
    return names[which % len(names)] if names else None


def insert(file: int, where: int, count: int, text: str) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        if name := pick(project, file):
            lines = project[name]
            at = where % (len(lines) + 1)
            new = [b"%s %s.%d\n" % (text.encode(), mark, number) for number in range(count)]
            if at and not lines[at - 1].endswith(b"\n"):
                lines[at - 1] += b"\n"
            lines[at:at] = new

    return apply


def change(file: int, where: int, text: str) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        if (name := pick(project, file)) and project[name]:
            project[name][where % len(project[name])] = b"%s %s\n" % (text.encode(), mark)

    return apply


def delete(file: int, where: int, count: int) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        if name := pick(project, file):
            at = where % (len(project[name]) + 1)
            del project[name][at : at + count]

    return apply


def end_without_newline(file: int, text: str) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        if name := pick(project, file):
            if project[name] and not project[name][-1].endswith(b"\n"):
                project[name][-1] += b"\n"
            project[name].append(b"%s %s" % (text.encode(), mark))

    return apply


def delete_file(file: int) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        if name := pick(project, file):
            del project[name]

    return apply


def rename_file(file: int, new: str) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        if (name := pick(project, file)) and new not in project:
            project[new] = project.pop(name)

    return apply


def add_file(new: str, count: int, text: str) -> Edit:
    def apply(project: Files, mark: bytes) -> None:
        lines = [b"%s %s.%d\n" % (text.encode(), mark, number) for number in range(count)]
        project[new] = lines

    return apply


choices_of_features = st.sampled_from([[], ["jobs"], ["jobs", "mail"]])
few = st.integers(min_value=1, max_value=4)
edits = st.one_of(
    st.builds(insert, position, position, few, words),
    st.builds(change, position, position, words),
    st.builds(delete, position, position, few),
    st.builds(end_without_newline, position, words),
    st.builds(delete_file, position),
    st.builds(rename_file, position, new_names),
    st.builds(add_file, new_names, few, words),
)


@pytest.mark.long
@pytest.mark.parametrize("version", [*RELEASES, WORKING_TREE])
@settings(
    # The same examples everywhere, and as many with each further release, unless EXAMPLES is set.
    max_examples=int(os.environ.get("EXAMPLES", str(24 // (len(RELEASES) + 1)))),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    # An example takes seconds, too long for shrinking.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    drawn=st.lists(edits, min_size=5, max_size=40),
    more=st.booleans(),
    had=choices_of_features,
    features=choices_of_features,
)
def test_an_update_keeps_every_added_line(
    committed: Callable[..., Project],
    version: str,
    drawn: list[Edit],
    more: bool,
    had: list[str],
    features: list[str],
) -> None:
    # No release has features.
    first: dict[str, Any] = {"features": had} if version == WORKING_TREE else {}
    with tempfile.TemporaryDirectory() as folder:
        made = committed(version, name=folder + "/project", **first)
        project = made.path
        original = files(project)
        lines = {name: split(text) for name, text in original.items()}
        for number, edit in enumerate(drawn):
            edit(lines, b"mine-%d" % number)
        write(project, lines)
        commit(project)
        added = {line for text in lines.values() for line in text if b"mine-" in line}

        before = files(project)

        answers: dict[str, Any] = {"modules": ["item", "invoice"]} if more else {}
        update(project, features=features, **answers)

        after = files(project)
        kept = {line for text in after.values() for line in text.split(b"\n")}
        assert {line.rstrip(b"\n") for line in added} - kept == set()
        # User-owned files are unchanged, and deleted files stay deleted. A folder without a router
        # is not a module yet: files of a new module of that name can conflict with it.
        owned = {
            name: text
            for name, text in before.items()
            if USERS_OWN.match(name) and not (more and name == "app/modules/invoice/models.py")
        }
        assert {name: after.get(name) for name in owned} == owned
        assert not (original.keys() - before.keys()) & after.keys()
        # The check reports the conflicts that git reports, edited files that moved among them.
        conflicts = in_conflict(project)
        edited = {name for name in MOVED if before.get(name) != original.get(name)}
        assert edited & original.keys() & before.keys() <= conflicts
        # The template's own check: edits may break the project's.
        check = ROOT / "template/tools/updates/conflicts.py"
        command = [made.program("python"), str(check), str(project)]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert bool(done.returncode) is bool(conflicts)
        # Edits are carried to the new paths without losing a line.
        command[1] = str(check.with_name("moves.py"))
        subprocess.run(command, cwd=project, capture_output=True, check=False)
        # Unedited files of dropped features are deleted.
        command = [sys.executable, str(check.with_name("dropped_features.py"))]
        variables = {**os.environ, "PROJECT_FOLDER": str(project)}
        subprocess.run(command, cwd=project, env=variables, capture_output=True, check=False)
        kept = {line for text in files(project).values() for line in text.split(b"\n")}
        assert {line.rstrip(b"\n") for line in added} - kept == set()


def split(text: bytes) -> list[bytes]:
    """Split at newlines only, as git does; keep line ends."""
    *lines, last = text.split(b"\n")
    return [line + b"\n" for line in lines] + [last] * bool(last)


def write(project: Path, lines: Files) -> None:
    """Make these the only files of a project."""
    for name in files(project).keys() - lines.keys():
        (project / name).unlink()
    for name, text in lines.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(text))
