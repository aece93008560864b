"""Generated edits where updates used to lose some: in links, ignored files, larger repositories.

An update keeps every line, is rejected, or, if Copier runs alone, its check names each lost line.
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
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.projects import Project, run
from tests.support.repositories import RELEASES, commit, files, git
from tests.updates.test_generated_edits import Edit, edits, split, write
from tests.updates.test_updates import append, into_monorepo, newer_template

UNCHANGED = "The project is unchanged; see docs/updating.md."
GLOBAL = {"ignore": "*.ini\ndocs/\n", "attributes": "*.py binary\n*.toml -diff\n*.md eol=crlf\n"}


@dataclass(frozen=True)
class Place:
    """Where a project is, and what git is told there; an empty string stands for nothing."""

    folder: str = ""
    configured: str = ""
    link: str = ""
    ignored: str = ""
    rejected: str = ""

    def prepare(self, made: Project) -> Project:
        """Move an edited project there, and commit it."""
        if self.link and (made.path / self.link).exists():
            (made.path / self.link).rename(made.path / "linked")
            (made.path / self.link).symlink_to("linked")
        if self.ignored and (made.path / self.ignored).exists():
            with (made.path / ".gitignore").open("a") as file:
                file.write(f"\n{self.ignored}\n")
            git(made.path, "rm", "--cached", "--quiet", self.ignored)
        if self.folder:
            made = into_monorepo(made, self.folder)
        commit(made.path)
        if self.rejected:
            top = Path(git(made.path, "rev-parse", "--show-toplevel").strip())
            append(top, ".git/info/exclude", "*.rej\n")
            (top / self.rejected).write_text("mine\n")
        return made

    @contextmanager
    def variables(self) -> Iterator[dict[str, str]]:
        """Yield the environment variables of the user who has configured git."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "git").mkdir()
            if self.configured:
                (Path(folder) / "git" / self.configured).write_text(GLOBAL[self.configured])
            yield {"XDG_CONFIG_HOME": folder, "PYTHONWARNINGS": "ignore"}


folders = st.sampled_from(["", "services/shop", "bücher & café"])
configured = st.sampled_from(["", *GLOBAL])
places = st.builds(
    Place,
    folder=folders,
    configured=configured,
    link=st.sampled_from(["", "", "", "docs", "app/core"]),
    ignored=st.sampled_from(["", "", "", "alembic.ini", "app/core/health.py"]),
    rejected=st.sampled_from(["", "", "", "README.md.rej", "notes.rej"]),
)


def edit(made: Project, drawn: list[Edit]) -> set[bytes]:
    """Apply edits, except to the code that updates the project; return the lines they add."""
    original = files(made.path)
    tools = {name: split(text) for name, text in original.items() if "tools/updates/" in name}
    lines = {name: split(text) for name, text in original.items()}
    for number, apply in enumerate(drawn):
        apply(lines, b"mine-%d" % number)
    write(made.path, lines | tools)
    return {
        line.rstrip(b"\n")
        for name in lines.keys() - tools
        for line in lines[name]
        if b"mine-" in line
    }


def read_all(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, ignored ones too, without those in .git."""
    found = (file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def lost(folder: Path, added: set[bytes]) -> set[bytes]:
    return added - {line for text in read_all(folder).values() for line in text.split(b"\n")}


def examples(number: int) -> settings:
    """The same examples everywhere, unless EXAMPLES is set; one takes too long for shrinking."""
    return settings(
        max_examples=int(os.environ.get("EXAMPLES", number)),
        derandomize="EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@pytest.mark.long
@examples(6)
@given(drawn=st.lists(edits, min_size=5, max_size=40), place=places)
def test_nox_update_keeps_every_added_line_or_changes_nothing(
    committed: Callable[..., Project], repository: Path, drawn: list[Edit], place: Place
) -> None:
    with tempfile.TemporaryDirectory() as folder, place.variables() as variables:
        made = committed(name=folder + "/project")
        change_everything(newer_template(repository, Path(folder), made))
        added = edit(made, drawn)
        made = place.prepare(made)
        top = Path(git(made.path, "rev-parse", "--show-toplevel").strip())
        before = read_all(top)
        command = [sys.executable, "-m", "tools.updates.update"]
        printed = run(
            ["sh", "-c", '"$@" || true', "sh", *command], made.path, status=0, **variables
        ).stdout
        if printed.rstrip().endswith(UNCHANGED):
            assert place.link or place.ignored or place.rejected, printed
            assert read_all(top) == before
        else:
            assert not place.rejected
            assert "v10000.0.0" in (made.path / ".copier-answers.yml").read_text("utf-8")
        assert lost(top, added) == set()


def change_everything(template: Path) -> None:
    """Release a version that adds a line at the beginning of every other file."""
    names = git(template, "ls-files", "template").splitlines()
    for name in names[::2]:
        path = template / name.strip('"')
        if path.suffix in {".py", ".md", ".ini", ".toml"} or path.stem.endswith((".toml", ".ini")):
            path.write_text(f"# theirs\n{path.read_text('utf-8')}", "utf-8")
    commit(template, "v10000.0.0")


@pytest.mark.long
@pytest.mark.parametrize("version", RELEASES)
@examples(6 // len(RELEASES))
@given(
    drawn=st.lists(edits, min_size=5, max_size=40),
    place=st.builds(Place, folder=folders, configured=st.sampled_from([*GLOBAL])),
)
def test_lines_lost_by_a_plain_update_are_named(
    committed: Callable[..., Project], version: str, drawn: list[Edit], place: Place
) -> None:
    with tempfile.TemporaryDirectory() as folder, place.variables() as variables:
        made = committed(version, name=folder + "/project")
        added = edit(made, drawn)
        made = place.prepare(made)
        command = [sys.executable, "-m", "copier", "update", "--defaults"]
        run(["sh", "-c", '"$@" || true', "sh", *command], made.path, status=0, **variables)
        check = [sys.executable, "-m", "tools.updates.lost_lines"]
        printed = run(
            ["sh", "-c", '"$@" || true', "sh", *check], made.path, status=0, **variables
        ).stdout
        named = {line.encode() for line in printed.splitlines()}
        for line in lost(made.path, added):
            assert any(found.endswith(b": " + line.rstrip()) for found in named), line
