"""Generated edits where updates used to lose some: with links, ignored files, larger repositories.

An update keeps every line or is rejected. The check after a plain update names each lost line.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from tests.support.projects import Project, run
from tests.support.repositories import RELEASES, WORKING_TREE, commit, files, git
from tests.updates.test_generated_edits import (
    Edit,
    choices_of_features,
    edits,
    end_without_newline,
    insert,
    split,
    write,
)
from tests.updates.test_updates import append, into_monorepo

UNCHANGED = "The project is unchanged; see docs/updating.md."
GLOBAL = {"ignore": "*.ini\ndocs/\n", "attributes": "*.py binary\n*.toml -diff\n*.md eol=crlf\n"}


@dataclass(frozen=True)
class Place:
    """Where a project is, how its user has configured git, and what prevents an update."""

    folder: str = ""
    configured: str = ""
    obstacle: str = ""

    def prepare(self, made: Project) -> tuple[Project, str]:
        """Move an edited project there, and commit it; return the expected reason not to update."""
        path = made.path / self.obstacle
        reason = ""
        if self.obstacle and path.is_dir():
            path.rename(made.path / "linked")
            path.symlink_to("linked")
            reason = f"{self.obstacle}: symbolic link, which git does not follow"
        elif path.is_file():
            append(made.path, ".git/info/exclude", f"{self.folder}/{self.obstacle}\n")
            git(made.path, "rm", "--cached", "--quiet", self.obstacle)
            reason = f"{self.obstacle}: file of the template that git ignores"
        exclude = (made.path / ".git/info/exclude").read_text("utf-8")
        if self.folder:
            made = into_monorepo(made, self.folder, exclude)
        else:
            commit(made.path)
        if self.obstacle.endswith(".rej"):
            top = find_top(made)
            append(top, ".git/info/exclude", "*.rej\n")
            (top / self.obstacle).write_text("mine\n")
            reason = f"{self.obstacle}: rejected edits of an earlier update"
        return made, reason

    @contextmanager
    def variables(self) -> Iterator[dict[str, str]]:
        """Yield the environment variables of the user who has configured git."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "git").mkdir()
            if self.configured:
                (Path(folder) / "git" / self.configured).write_text(GLOBAL[self.configured])
            yield {"XDG_CONFIG_HOME": folder, "PYTHONWARNINGS": "ignore"}


folders = st.sampled_from(["", "services/shop", "bücher & café"])
obstacles = ["docs", "app/core", "alembic.ini", "README.md.rej", "notes.rej"]
places = st.builds(
    Place,
    folder=folders,
    configured=st.sampled_from(["", *GLOBAL]),
    obstacle=st.sampled_from([*[""] * len(obstacles), *obstacles]),
)
SOME = [insert(file, file, 2, "added") for file in range(0, 60, 3)]
SOME += [end_without_newline(file, "added") for file in range(1, 60, 3)]


def find_top(made: Project) -> Path:
    return Path(git(made.path, "rev-parse", "--show-toplevel").removesuffix("\n"))


def edit(made: Project, drawn: list[Edit]) -> set[bytes]:
    """Apply edits; return the lines that they add."""
    lines = {name: split(text) for name, text in files(made.path).items()}
    for number, apply in enumerate(drawn):
        apply(lines, b"mine-%d" % number)
    write(made.path, lines)
    return {line.rstrip(b"\n") for text in lines.values() for line in text if b"mine-" in line}


def read_all(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, ignored ones too, without those in .git."""
    found = (file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def find_lost(folder: Path, added: set[bytes]) -> set[bytes]:
    return added - {line for text in read_all(folder).values() for line in text.split(b"\n")}


def examples(number: int) -> settings:
    """The same examples everywhere, unless EXAMPLES is set; one takes too long for shrinking."""
    return settings(
        max_examples=int(os.environ.get("EXAMPLES", number)),
        derandomize="EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@contextmanager
def edited(
    committed: Callable[..., Project], version: str, drawn: list[Edit], place: Place
) -> Iterator[tuple[Project, Project, set[bytes], str]]:
    """Yield a project of the new version, an edited one in its place, its lines, and the reason."""
    with tempfile.TemporaryDirectory() as folder:
        tools = committed(name=folder + "/tools")
        # No release has features.
        features = {"features": ["jobs", "mail"]} if version == WORKING_TREE else {}
        made = committed(version, name=folder + "/project", **features)
        added = edit(made, drawn)
        made, reason = place.prepare(made)
        yield tools, made, added, reason


def run_script(tools: Project, name: str, made: Project, *arguments: str, **variables: str) -> str:
    """Run a script of tools/updates of one project in another one, whatever its exit status."""
    script = tools.path / f"tools/updates/{name}.py"
    command = ["sh", "-c", '"$@" || true', "sh", sys.executable, str(script), *arguments]
    variables["PROJECT_FOLDER"] = str(made.path)
    return run(command, made.path, status=0, **variables).stdout


@pytest.mark.long
@pytest.mark.parametrize("version", [*RELEASES, WORKING_TREE])
@examples(2)
@example(drawn=SOME, place=Place(configured="ignore"), features=[])
@example(drawn=SOME, place=Place("bücher & café", configured="attributes"), features=["jobs"])
@given(drawn=st.lists(edits, min_size=5, max_size=40), place=places, features=choices_of_features)
def test_nox_update_keeps_every_added_line_or_changes_nothing(
    committed: Callable[..., Project],
    version: str,
    drawn: list[Edit],
    place: Place,
    features: list[str],
) -> None:
    """Run by the code of the new version, as for projects of releases that lack it."""
    with (
        edited(committed, version, drawn, place) as (tools, made, added, reason),
        place.variables() as variables,
    ):
        top = find_top(made)
        before = read_all(top)
        answer = ("--data", f"features={features}")
        printed = run_script(tools, "update", made, *answer, **variables)
        assert reason in printed
        if reason:
            assert printed.rstrip().endswith(UNCHANGED)
            assert read_all(top) == before
        else:
            assert "v9999.0.0" in (made.path / ".copier-answers.yml").read_text("utf-8"), printed
        assert find_lost(top, added) == set()


@pytest.mark.long
@pytest.mark.parametrize("version", RELEASES)
@examples(1)
@example(drawn=SOME, place=Place(configured="ignore"))
@given(
    drawn=st.lists(edits, min_size=5, max_size=40),
    place=st.builds(Place, folder=folders, configured=st.sampled_from([*GLOBAL])),
)
def test_lines_lost_by_a_plain_update_are_named(
    committed: Callable[..., Project], version: str, drawn: list[Edit], place: Place
) -> None:
    with (
        edited(committed, version, drawn, place) as (tools, made, added, _),
        place.variables() as variables,
    ):
        command = [sys.executable, "-m", "copier", "update", "--defaults"]
        run(["sh", "-c", '"$@" || true', "sh", *command], made.path, status=0, **variables)
        named = run_script(tools, "lost_lines", made, **variables).encode().splitlines()
        for line in find_lost(made.path, added):
            assert any(found.endswith(b": " + line.rstrip()) for found in named), line
