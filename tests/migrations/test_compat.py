"""`nox -s compat` runs the tests of the base branch on the schema of new revisions."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.interruptions import interrupted
from tests.support.projects import Project
from tests.support.repositories import commit, git
from tests.support.revisions import add_revision

COMPAT = ("-m", "tools.migrations.compat")
WIDE = 'op.add_column("item", sa.Column("colour", sa.String(30)))'
NARROW = 'op.drop_column("item", "description")'
# Fewer tests than a project has, for the time that each run takes.
TESTS = """import httpx2


async def test_that_fails_anyway(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 404


async def test_name(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200


async def test_description(client: httpx2.AsyncClient) -> None:
    created = await client.post("/api/v1/items", json={"name": "Lamp", "description": "Tall"})
    assert created.json()["description"] == "Tall"
"""


def release(made: Project) -> str:
    """Commit the running code, with few tests, and start a branch; return the commit."""
    (made.path / "tests/modules/test_item.py").write_text(TESTS, "utf-8")
    commit(made.path)
    git(made.path, "checkout", "--quiet", "-b", "feature")
    return git(made.path, "rev-parse", "main").strip()


@pytest.mark.database("postgresql")
def test_the_revision_that_breaks_running_code_is_named(
    committed: Callable[..., Project],
) -> None:
    made = committed(database="postgresql")
    base = release(made)
    # A revision may import what only the new code has.
    (made.path / "app/core/colours.py").write_text("COLOUR = 'red'\n", "utf-8")
    add_revision(made, "wide", upgrade=f"from app.core.colours import COLOUR\n    {WIDE}")
    commit(made.path)
    add_revision(made, "narrow", "wide", upgrade=NARROW)
    (made.path / "tests/modules/test_item.py").unlink()
    with made.server() as url:
        printed = made.python(*COMPAT, status=1, TEST_DATABASE_URL=url).stdout
    assert f"Running the tests of {base[:12]} on the schema of wide, narrow." in printed
    assert "2 failed, 1 passed" in printed
    assert (
        printed.partition("2 failed, 1 passed")[2]
        .partition("\n")[2]
        .startswith(
            f"\nFailed without the new revisions, too, in the code of {base[:12]}:\n"
            "  tests/modules/test_item.py::test_that_fails_anyway\n\n"
            f"Revision narrow (alembic/versions/narrow.py) breaks the code of {base[:12]}:\n"
            "  tests/modules/test_item.py::test_description\n\n"
        )
    )
    assert len(git(made.path, "worktree", "list").splitlines()) == 1


@pytest.mark.database("mysql")
def test_a_failure_without_the_new_revisions_is_not_blamed_on_them(
    committed: Callable[..., Project],
) -> None:
    made = committed(database="mysql")
    release(made)
    add_revision(made, "wide", upgrade=WIDE)
    with made.server() as url:
        printed = made.python(*COMPAT, TEST_DATABASE_URL=url).stdout
    assert "1 failed, 2 passed" in printed
    assert "breaks" not in printed


@pytest.fixture
def in_subfolder(project: Callable[..., Project], tmp_path: Path) -> Project:
    """A project in a folder of a repository whose first commit did not have it."""
    made = project("sqlite")
    folder = tmp_path / "repository/services/an api"
    folder.parent.mkdir(parents=True)
    git(folder.parent, "init", "--quiet", "--initial-branch", "main", str(tmp_path / "repository"))
    (folder.parent / "README.md").touch()
    commit(folder.parent)
    git(folder.parent, "tag", "first")
    shutil.copytree(made.path, folder)
    return replace(made, path=folder)


def test_a_revision_that_cannot_be_applied_is_reported(in_subfolder: Project) -> None:
    release(in_subfolder)
    add_revision(in_subfolder, "wide", upgrade='op.drop_table("lamp")')
    printed = in_subfolder.run("nox", "-s", "compat", "--", "main", status=1).stdout
    assert "The revisions cannot be applied:" in printed
    assert "upgrade 0001 -> wide, wide: failed." in printed
    assert "breaks" not in printed


def test_what_cannot_be_compared_is_explained(in_subfolder: Project, tmp_path: Path) -> None:
    made = in_subfolder
    base = release(made)

    def compat(*arguments: str, status: int = 0) -> str:
        return made.python(*COMPAT, *arguments, status=status).stdout

    assert compat() == f"No new revisions since {base[:12]}.\n"
    add_revision(made, "left", upgrade=WIDE)
    assert "an api: there is nothing to run." in compat("first")
    assert "nowhere: no such branch or commit" in compat("nowhere", status=1)
    assert "usage: " in compat("main", "first", status=2)
    add_revision(made, "right", upgrade="pass")
    expected = "several heads, ['left', 'right']; merge them: uv run alembic merge heads"
    assert expected in compat(status=1)
    (made.path / "alembic/versions/right.py").unlink()
    git(made.path, "checkout", "--quiet", "-b", "other")
    commit(made.path)
    git(made.path, "checkout", "--quiet", "feature")
    add_revision(made, "right", upgrade="pass")
    lacks = "revisions that this branch lacks: alembic/versions/left.py. Merge or rebase first"
    assert lacks in compat("other", status=1)
    git(made.path, "branch", "--quiet", "--move", "main", "trunk")
    assert "No base branch: none of origin/HEAD, origin/main, main has" in compat(status=1)
    shutil.move(tmp_path / "repository/.git", tmp_path / "elsewhere")
    assert "not a git repository" in compat(status=1)


def test_an_interrupt_leaves_nothing(committed: Callable[..., Project], short_folder: Path) -> None:
    made = committed()
    (made.path / "tests/modules/test_item.py").write_text(
        "import asyncio\n\n\nasync def test_that_hangs() -> None:\n    await asyncio.sleep(600)\n"
    )
    commit(made.path)
    add_revision(made, "wide", upgrade=WIDE)
    command = [made.program("python"), *COMPAT]
    with interrupted(command, made.path, short_folder) as output:
        output.wait_for("Running the tests of ")
        worktrees = git(made.path, "worktree", "list").splitlines()
        assert len(worktrees) == 2
    assert "Interrupted." in output.file.read_text("utf-8")
    assert len(git(made.path, "worktree", "list").splitlines()) == 1
