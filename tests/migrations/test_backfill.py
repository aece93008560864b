"""A backfill that is killed under concurrent writes goes on where it stopped."""

import json
import re
from collections.abc import Callable

from tests.support.projects import Project
from tests.support.revisions import add_revision

TABLE = """
counted = op.create_table(
        "counted",
        sa.Column("region", sa.String(9), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(9)),
        sa.Column("copy", sa.String(9)),
        sa.Column("updates", sa.Integer),
    )
    op.bulk_insert(counted, [
        {"region": "ab"[n % 2], "number": n, "name": f"n{n}", "copy": None, "updates": 0}
        for n in range(ROWS)
    ])
""".replace("ROWS", "600")

# `updates` shows how often a row was backfilled.
BACKFILL = """
from app.core.migrations.backfill import backfill
    backfill(
        op.get_context(),
        "counted",
        {"copy": sa.column("name"), "updates": sa.column("updates") + 1},
        where=sa.column("copy").is_(None),
        batch_size=20,
        pause=0.02,
    )
"""

# Old code inserts rows without a copy until the backfill is killed; new code writes both columns.
# The order of the rows may deadlock.
WRITER = """
import json
import subprocess
import sys
import time
from itertools import count

from app.core.dialect import create_sync_engine
from app.core.settings import get_settings
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

INSERT = text("INSERT INTO counted VALUES ('a', :number, 'late', NULL, 0)")
UPDATE = text("UPDATE counted SET name = 'new', copy = 'kept' WHERE number = :number")
engine = create_sync_engine(get_settings().database.url)
numbers = count()


def write(*, inserts):
    # Without a pause, SQLite would let hardly any other process write.
    time.sleep(0.01)
    number = next(numbers)
    try:
        with engine.begin() as connection:
            if inserts:
                connection.execute(INSERT, {"number": -1 - number})
            for changed in (599 - number % 100, 250 - number % 100):
                connection.execute(UPDATE, {"number": changed})
    except DBAPIError as error:
        print(type(error).__name__)


def read(query):
    with engine.connect() as connection:
        return [list(row) for row in connection.execute(text(query))]


WRONG = "SELECT * FROM counted WHERE copy <> CASE name WHEN 'new' THEN 'kept' ELSE name END"
LEFT = "SELECT count(*) FROM counted WHERE copy IS NULL"
DONE = "SELECT count(*) FROM counted WHERE updates = 1"
UPGRADE = [sys.executable, "-m", "alembic", "upgrade", "head"]
with subprocess.Popen(UPGRADE) as process:
    while read(DONE)[0][0] < 150:
        assert process.poll() is None
        write(inserts=True)
    process.kill()
found = {"done": read(DONE)[0][0], "left": read(f"{LEFT} AND name <> 'late'")[0][0]}
with subprocess.Popen(UPGRADE) as process:
    while process.poll() is None:
        write(inserts=False)
    assert process.returncode == 0
found["wrong"] = read(f"{WRONG} OR copy IS NULL OR updates > 1")
found["not once"] = read("SELECT * FROM counted WHERE updates <> 1 AND name <> 'new'")
found["late"] = read("SELECT count(*) FROM counted WHERE name = 'late'")[0][0]
found["version"] = read("SELECT version_num FROM alembic_version")
engine.dispose()
print(json.dumps(found))
"""


def test_a_backfill_that_is_killed_updates_each_row_once(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    add_revision(made, "table", upgrade=TABLE, downgrade='op.drop_table("counted")')
    add_revision(made, "copy", "table", upgrade=BACKFILL)
    with made.server() as url:
        made.run("alembic", "upgrade", "table", DATABASE_URL=url)
        printed = made.python(
            "-c", WRITER, DATABASE_URL=url, PYTHONPATH=str(made.path), MIGRATION_WAIT_TIMEOUT="30"
        ).stdout
    found = json.loads(printed.splitlines()[-1])
    assert 150 <= found["done"] < 600
    assert found["left"] > 0
    assert found["late"] > 0
    assert (found["wrong"], found["not once"], found["version"]) == ([], [], [["copy"]])
    assert re.search(r"counted: \d+ rows updated", printed)


def test_what_a_revision_with_a_backfill_cannot_do_is_reported(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    call = BACKFILL.replace("counted", "item").strip()
    add_revision(made, "both", upgrade=f'op.execute("SELECT 1")\n    {call}')
    printed = made.python("-m", "tools.dangerous_operations", "alembic/versions/both.py").stdout
    assert "commits the operations before it" in printed
    add_revision(made, "both", upgrade=f'{call}\n    op.execute("SELECT 1")')
    printed = made.python("-m", "tools.dangerous_operations", "alembic/versions/both.py").stdout
    assert "commits" not in printed
    add_revision(made, "both", upgrade=re.sub(r"\{.*\}", "lambda row: {}", call))
    offline = ("alembic", "upgrade", "0001:both", "--sql")
    printed = made.run(*offline, status=255, DATABASE_URL="sqlite:///unused.db").stdout
    assert "a function of rows cannot be written as SQL" in printed
