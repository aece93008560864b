"""The recipe of docs/migrations.md renames a column while the previous release still runs."""

import re
import shlex
from collections.abc import Callable

import pytest

from tests.support.edits import edit
from tests.support.pages import BLOCK
from tests.support.projects import Project, run
from tests.support.repositories import commit
from tests.support.revisions import ALEMBIC

HEADING = "## Rename a column without downtime\n"
COMMAND = re.compile(r"^uv run alembic (.*?)(?:  +#.*)?$", re.MULTILINE)
COMPAT = ("-m", "tools.migrations.compat")
TESTS = ("-m", "pytest", "-q", "tests/modules/test_item.py")
REVISES = "\nRevises: {}\n"


def sections(page: str, heading: str, level: str) -> list[str]:
    """Return the sections of a level below a heading."""
    [section] = re.findall(rf"^{heading}(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return re.split(rf"(?m)^{level} .*$", section)[1:]


def follow(made: Project, url: str, section: str, backfill: str) -> None:
    """Apply the diff of a release and run its commands."""
    [diff] = [text for kind, text in BLOCK.findall(section) if kind == "diff"]
    patch = made.path.with_name("page.patch")
    patch.write_text(diff, "utf-8")
    run(["git", "apply", "--unidiff-zero", str(patch)], made.path)
    for command in COMMAND.findall(section):
        made.run("alembic", *shlex.split(command), DATABASE_URL=url)
        if command.startswith("revision"):
            complete_revision(made, backfill)
    made.python("-c", ALEMBIC, "check", DATABASE_URL=url)


def complete_revision(made: Project, backfill: str) -> None:
    """Write the documented backfill to its revision, and do what the hooks do."""
    versions = made.path / "alembic/versions"
    previous = (versions / "HEAD").read_text("utf-8").strip()
    [file] = [
        file for file in versions.glob("2*.py") if REVISES.format(previous) in file.read_text()
    ]
    [revision] = re.findall(r"(?m)^revision: str = .(\w+).$", file.read_text("utf-8"))
    if "copy_name_to_title" in file.name:
        code = backfill.replace("…", revision, 1).replace("…", previous, 1)
        file.write_text(code, "utf-8")
    (versions / "HEAD").write_text(f"{revision}\n", "utf-8")


@pytest.mark.database("postgresql")
def test_a_column_is_renamed_without_downtime(committed: Callable[..., Project]) -> None:
    made = committed(database="postgresql")
    # Other tests run them, and each starts a process.
    edit(made.path / "alembic.ini", "hooks = format, check, head, warn", "hooks =")
    page = (made.path / "docs/migrations.md").read_text("utf-8")
    [backfill] = re.findall(r'```python\n("""copy name to title""".*?)```', page, re.DOTALL)
    releases = sections(page, HEADING, "###")
    assert len(releases) == 4
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        insert = "INSERT INTO item (id, name, version, created_at, updated_at)"
        values = f"VALUES ('{'0' * 32}', 'old', 1, '2026-01-01', '2026-01-01')"
        made.sql(url, f"{insert} {values}")
        commit(made.path)
        for release in releases:
            follow(made, url, release, backfill)
            if "alembic revision" in release:
                printed = made.python(*COMPAT, "HEAD", TEST_DATABASE_URL=url).stdout
                assert "Running the tests of" in printed
                assert " passed" in printed
            commit(made.path)
        assert made.sql(url, "SELECT title FROM item") == [["old"]]
        sql = made.run("alembic", "upgrade", "0001:head", "--sql", DATABASE_URL=url).stdout
        assert "UPDATE item SET title=name WHERE title IS NULL;" in sql
    printed = made.python(*TESTS, "tests/test_migrations.py").stdout
    assert "copy_name_to_title.py:" not in printed
