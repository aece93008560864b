"""Alembic's commands, as the documentation shows them."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.projects import Project, run
from tests.support.revisions import ALEMBIC, add_revision


def test_the_commands_of_the_migrations_page_work(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    make = 'op.create_table("{0}", sa.Column("n", sa.Integer))'
    drop = 'op.drop_table("{0}")'
    add_revision(made, "left", upgrade=make.format("l"), downgrade=drop.format("l"))
    add_revision(made, "right", upgrade=make.format("r"), downgrade=drop.format("r"))
    with made.server() as url:

        def alembic(*commands: str) -> str:
            return made.python("-c", ALEMBIC, *commands, DATABASE_URL=url).stdout

        many = made.run("alembic", "upgrade", "head", status=255, DATABASE_URL=url).stdout
        assert "multiple head revisions" in many.lower()
        two = made.python("-m", "pytest", "-q", "-k", "one_head", status=1).stdout
        assert "merge them: uv run alembic merge heads" in two
        printed = alembic(
            *("upgrade heads", "merge heads -m both --rev-id both", "upgrade head"),
            *("current", "history --indicate-current"),
        )
        assert (made.path / "alembic/versions/HEAD").read_text("utf-8") == "both\n"
        assert "\nboth (head) (mergepoint)\n" in printed
        assert re.search(r"(left, right|right, left) -> both \(head\) \(current\)", printed)
        printed = alembic("downgrade left", "current")
        assert set(re.findall(r"(?m)^\w+$", printed)) == {"left", "right"}
        alembic("ensure_version")
        assert made.sql(url, "SELECT * FROM alembic_version")
        printed = alembic("upgrade head", "downgrade base", "upgrade +1", "downgrade -1", "current")
        assert "Running downgrade 0001 -> , initial" in printed
        assert "\nboth (head)" in alembic("upgrade left", "stamp both", "current")
        alembic("stamp --purge left", "upgrade head", "current --check-heads")
        # The project's tests can go through branches, too.
        models = "from sqlalchemy import Column, Integer, Table\nfrom app.core.models import Base\n"
        tables = "".join(f'Table("{n}", Base.metadata, Column("n", Integer))\n' for n in "lr")
        with (made.path / "app/modules/item/models.py").open("a", encoding="utf-8") as file:
            file.write(f"\n{models}{tables}")
        made.python("-m", "pytest", "-q", "tests/test_migrations.py")


def test_alembic_works_from_anywhere(project: Callable[..., Project], tmp_path: Path) -> None:
    made = project("sqlite")
    moved = made.path.rename(tmp_path / "a project with spaces")
    ini = str(moved / "alembic.ini")
    made = Project(moved, made.environment, made.types)
    url = f"sqlite:///{tmp_path}/there is.db"
    program = made.program("alembic")
    for command in ([program], [made.program("python"), "-m", "alembic"]):
        run([*command, "-c", ini, "upgrade", "head"], tmp_path, DATABASE_URL=url)
        run([*command, "-c", ini, "check"], tmp_path, DATABASE_URL=url)
        run([*command, "-c", ini, "downgrade", "base"], tmp_path, DATABASE_URL=url)
        made.run(*command, "upgrade", "head", DATABASE_URL=url)
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
    revise = [program, "-c", ini, "revision", "-m", "more", "--rev-id", "more"]
    run(revise, tmp_path, DATABASE_URL=url, PATH=path)
    assert (moved / "alembic/versions/HEAD").read_text("utf-8") == "more\n"
    made.run("ruff", "format", "--check")
    shutil.rmtree(moved / "alembic/versions")
    run(revise, tmp_path, DATABASE_URL=url, PATH=path)
    assert [file.suffix for file in sorted((moved / "alembic/versions").iterdir())] == [".py", ""]


def test_a_second_environment_has_its_own_revisions(project: Callable[..., Project]) -> None:
    made = project("sqlite", shared_tables=["auth_*"])
    manual = (made.path / "docs/migrations.md").read_text("utf-8")
    section = re.search(r"```ini\n(\[testing\]\n.*?)```", manual, re.DOTALL)
    commands = re.findall(r"uv run (alembic -n testing .*)", manual)
    assert section
    assert len(commands) == 2
    with (made.path / "alembic.ini").open("a", encoding="utf-8") as ini:
        ini.write(f"\n{section[1]}")
    for command in commands:
        made.run("bash", "-c", command, DATABASE_URL="sqlite:///app.db")
    made.sql("sqlite:///app.db", "CREATE TABLE auth_user (id INTEGER)")
    made.run("alembic", "-n", "testing", "check", DATABASE_URL="sqlite:///app.db")
    current = made.run("alembic", "-n", "testing", "current", DATABASE_URL="sqlite:///app.db")
    assert len(re.findall(r"\(head\)", current.stdout)) == 2
    assert (made.path / "alembic/versions/HEAD").read_text("utf-8") == "0001\n"
    made.python("-m", "pytest", "-q", "tests/test_migrations.py")


def test_two_branches_with_a_revision_each_conflict_in_git(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@localhost")
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    for branch in ("main", "left", "right"):
        if branch != "main":
            made.run("git", "checkout", "--quiet", "-b", branch, "main")
            made.run("alembic", "revision", "-m", branch)
        made.run("git", "add", ".")
        made.run(*git, "commit", "--quiet", "-m", branch)
    printed = made.run(*git, "merge", "left", status=1).stdout
    assert "CONFLICT (content): Merge conflict in alembic/versions/HEAD" in printed


def test_documented_python_blocks_run(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    manual = (made.path / "docs/migrations.md").read_text("utf-8")
    database_page = (made.path / "docs/database.md").read_text("utf-8")
    migrations = re.search(r"```python\n(from alembic import command\n.*?)```", manual, re.DOTALL)
    job = re.search(r"```python\n(from app.core.database import.*?)```", database_page, re.DOTALL)
    assert migrations
    assert job
    code = f"""
import asyncio
from app.core.database import create_engine
from app.core.settings import get_settings

async def main():
    engine = create_engine(get_settings().database)
    {migrations[1].replace(chr(10), chr(10) + "    ")}
    async with engine.connect() as connection:
        await connection.run_sync(lambda c: command.current(alembic_config(c)))
    await upgrade(engine)
    await engine.dispose()

asyncio.run(main())
from app.modules.item.models import Item
{job[1]}"""
    with made.server() as url:
        printed = made.python("-c", code, DATABASE_URL=url).stdout
        assert "0001" not in printed
        assert made.sql(url, "SELECT name FROM item") == [["made by a job"]]
