"""Upgrades that run at the same time, or are killed."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.projects import Project, clean_environment
from tests.support.revisions import add_revision

# Waits until a file is there, though not endlessly: a test that fails leaves nothing running.
SLOW = """
op.create_table("ran", sa.Column("n", sa.Integer))
    deadline = time.monotonic() + 60
    while not os.path.exists(os.environ["GO"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    op.execute("INSERT INTO ran VALUES (1)")
"""

CONCURRENTLY = """
with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.create_index("ix_item_text", "item", ["description"], postgresql_concurrently=True)
"""


def test_upgrades_that_run_together_run_each_revision_once(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    add_revision(made, "slow", upgrade=SLOW)
    last = (
        CONCURRENTLY
        if database == "postgresql"
        else 'op.add_column("ran", sa.Column("m", sa.Integer))'
    )
    add_revision(made, "last", "slow", upgrade=last)
    logs = [tmp_path / f"{number}.log" for number in range(4)]

    def printed() -> str:
        return "".join(log.read_text("utf-8") for log in logs)

    go = tmp_path / "go"
    with made.server() as url:
        upgrades = []
        for log in logs:
            with log.open("w") as file:
                upgrades.append(
                    subprocess.Popen(
                        [made.program("python"), "-m", "alembic", "upgrade", "head"],
                        cwd=made.path,
                        env=clean_environment(made.path) | {"DATABASE_URL": url, "GO": str(go)},
                        stderr=file,
                    )
                )
        while printed().count("waiting up to 300 s") < 3:
            assert [process.poll() for process in upgrades] == [None] * 4, printed()
            time.sleep(0.1)
        go.touch()
        assert [process.wait(timeout=120) for process in upgrades] == [0] * 4, printed()
        for step in ("-> 0001", "0001 -> slow", "slow -> last"):
            assert len(re.findall(rf"Running upgrade  ?{step}", printed())) == 1
        assert made.sql(url, "SELECT count(*) FROM ran") == [[1]]


def test_an_upgrade_that_is_killed_frees_the_lock(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    go = tmp_path / "go"
    add_revision(made, "slow", upgrade=SLOW)
    with made.server() as url:
        made.run("alembic", "upgrade", "0001", DATABASE_URL=url)
        holder = subprocess.Popen(
            [made.program("alembic"), "upgrade", "head"],
            cwd=made.path,
            env=clean_environment(made.path) | {"DATABASE_URL": url, "GO": str(go)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert holder.stderr
        while "Running upgrade 0001 -> slow" not in holder.stderr.readline():
            assert holder.poll() is None
        limits = {"DATABASE_URL": url, "MIGRATION_WAIT_TIMEOUT": "1"}
        refused = made.run("alembic", "upgrade", "head", status=255, **limits).stdout
        assert "has not finished within 1 s (MIGRATION_WAIT_TIMEOUT)" in refused
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=60)
        if database == "mysql":
            # What a revision did to tables is committed; here it is just the one table.
            made.sql(url, "DROP TABLE IF EXISTS ran")
        go.touch()
        limits |= {"MIGRATION_WAIT_TIMEOUT": "30", "GO": str(go)}
        made.run("alembic", "upgrade", "head", status=0, **limits)
        assert made.sql(url, "SELECT count(*) FROM ran") == [[1]]


def test_a_failed_command_exits(project: Callable[..., Project], database: str) -> None:
    """Not even a driver's thread may keep the process: https://github.com/omnilib/aiosqlite/issues/369."""
    made = project(database)
    add_revision(made, "wrong", upgrade="1 / 0")
    with made.server() as url:
        began = time.monotonic()
        printed = made.fresh.run("alembic", "upgrade", "head", status=1, DATABASE_URL=url).stdout
        assert "ZeroDivisionError" in printed
        assert "upgrade 0001 -> wrong, wrong: failed." in printed
        assert "Committed earlier in this run: upgrade  -> 0001, initial." in printed
        assert time.monotonic() - began < 60
