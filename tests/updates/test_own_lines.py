"""Places for the lines of a project: comments that an update adds its own lines above."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.projects import DATABASES, Project, update
from tests.support.repositories import RELEASES, commit, files, in_conflict
from tests.support.team import TEAM, edit_as_a_team
from tests.updates.test_updates import newer_template

PLACE = re.compile(r"^( *)# .* below; (?:template )?updates add (?:theirs|lines) above\.\n", re.M)
# How many places each file has.
PLACES = {
    ".env.example": 1,
    ".gitattributes": 1,
    ".gitignore": 1,
    "alembic/env.py": 1,
    "app/core/errors.py": 1,
    "app/core/models.py": 1,
    "app/core/settings.py": 2,
    "app/main.py": 3,
    "noxfile.py": 1,
    "pyproject.toml": 7,
    "tests/conftest.py": 1,
}
# These have their place above the last lines, which stay as they are: those that projects of older
# releases have at the end of the file.
LAST = {
    *(".gitattributes", "app/core/errors.py", "app/core/models.py", "noxfile.py"),
    *("pyproject.toml", "tests/conftest.py"),
}


def rewrite(file: Path, replacement: str) -> int:
    """Replace each place; return how many there are."""
    text, count = PLACE.subn(replacement, file.read_text("utf-8"))
    file.write_text(text, "utf-8")
    return count


@pytest.mark.parametrize("database", DATABASES)
def test_lines_at_every_place_are_merged(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, database: str
) -> None:
    made = committed(database=database)
    newer = newer_template(repository, tmp_path, made)
    counts = {name: rewrite(made.path / name, r"\g<0>\1# mine\n") for name in files(made.path)}
    assert {name: count for name, count in counts.items() if count} == PLACES
    for name in LAST:
        file = made.path / name
        file.write_text(file.read_text("utf-8") + "# mine, at the end\n", "utf-8")
    commit(made.path)
    for file in (newer / "template").rglob("*"):
        if file.is_file():
            rewrite(file, r"\1# theirs\n\g<0>")
    commit(newer, "v10000.0.0")

    update(made.path)

    assert in_conflict(made.path) == set()
    for name, count in PLACES.items():
        text = (made.path / name).read_text("utf-8")
        between = re.findall(rf"# theirs\n{PLACE.pattern[1:]} *# mine\n", text)
        assert len(between) == count, name
    for name in LAST:
        assert (made.path / name).read_text("utf-8").endswith("# mine, at the end\n"), name


# Files in which the edits of a team overlap with the template's changes. From 0.2.0: the end of a
# file, or of the routers, where a place for own lines came later.
CONFLICTS = {
    "0.2.0": {".env.example", "app/main.py", "noxfile.py"},
    "0.3.0": {
        *(".gitattributes", "app/core/models.py", "app/core/settings.py", "pyproject.toml"),
        "tests/conftest.py",
    },
}


@pytest.mark.parametrize("version", CONFLICTS)
def test_few_edits_of_a_team_conflict(committed: Callable[..., Project], version: str) -> None:
    assert len(TEAM) == 17
    made = committed(version, database="postgresql")
    edit_as_a_team(made.path)
    commit(made.path)
    update(made.path)
    assert in_conflict(made.path) == CONFLICTS[version]
    for edits in TEAM:
        for change in edits:
            lines = (made.path / change.file).read_text("utf-8").splitlines()
            assert {*change.new.splitlines()} <= {*lines} or change.survives(made.path), change


def test_conflicts_of_every_release_are_known() -> None:
    assert CONFLICTS.keys() == RELEASES.keys() - {"0.1.0"}
    assert len(CONFLICTS["0.2.0"]) <= 3
