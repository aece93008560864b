"""SQL for the server's own client does what an online upgrade does."""

import os
import shutil
import subprocess
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import pytest

from tests.support.projects import SUPPORT, Project, clean_environment
from tests.support.revisions import add_revision


def client(made: Project, database: str, url: str) -> list[str]:
    """Return the command of the database's own client, which reads SQL from standard input."""
    parts = urlsplit(url)
    if database == "postgresql":
        [psql] = made.environment.glob("lib/python*/site-packages/**/pginstall/bin/psql")
        return [str(psql), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url]
    if database == "mysql":
        program = shutil.which("mariadb") or "mysql"
        return [program, "--no-defaults", *connection_options(parts), parts.path[1:]]
    if shutil.which("sqlite3") is None:
        reason = "sqlite3 is not on the PATH; install it: apt-get install sqlite3"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return ["sqlite3", "-bail", parts.path[1:]]


def connection_options(parts: SplitResult) -> list[str]:
    """Return the options of MariaDB's or MySQL's client for a URL."""
    [socket] = parse_qs(parts.query).get("unix_socket", [""])
    where = [f"--socket={socket}"] if socket else [f"--host={parts.hostname}", "--protocol=tcp"]
    given = {"user": parts.username, "password": parts.password, "port": parts.port}
    return [*where, *(f"--{name}={unquote(str(value))}" for name, value in given.items() if value)]


EVERY_KIND = """
price = op.create_table(
        "price",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Uuid({uuid}), sa.ForeignKey("item.id", name="fk_price_item")),
        sa.Column("amount", sa.Numeric(10, 2), nullable=False, server_default="1.50"),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("since", sa.Date),
        sa.Column("note", sa.String(100), server_default="it's 100%"),
        sa.Column("at", sa.DateTime, server_default=sa.func.now()),
        sa.UniqueConstraint("note", name="uq_price_note"),
        sa.CheckConstraint("amount > 0", name="ck_price_amount"),
    )
    op.create_index("ix_price_since", "price", ["since", "amount"])
    op.bulk_insert(price, [
        {{"id": 1, "amount": Decimal("2.25"), "active": False, "since": date(2026, 1, 2),
          "note": "a 'quoted' :name 50%", "at": datetime(2026, 1, 2, 3, 4, 5)}},
    ])
    update = sa.text("UPDATE price SET amount = :amount WHERE note = :note")
    op.execute(update.bindparams(amount=3, note="a 'quoted' :name 50%"))
"""


# Session settings, and where the transaction of a revision begins.
PREPARATIONS = {
    "postgresql": (b"SET lock_timeout = '5s';", b"BEGIN;"),
    "mysql": (b"SET SESSION lock_wait_timeout = 5,",),
    "sqlite": (b"PRAGMA foreign_keys = OFF;", b"BEGIN;"),
}


def test_offline_sql_equals_an_online_upgrade(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database, modules=["item", "tag"])
    uuid = "native_uuid=False" if database == "mysql" else ""
    add_revision(made, "prices", upgrade=EVERY_KIND.format(uuid=uuid))
    describe = str(SUPPORT / "describe_schema.py")

    def described(url: str) -> str:
        return made.python(describe, PYTHONPATH=str(made.path), DATABASE_URL=url).stdout

    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        online = described(url)
    with made.server() as url:
        sql = subprocess.run(
            [made.program("alembic"), "upgrade", "head", "--sql"],
            cwd=made.path,
            env=clean_environment(made.path) | {"DATABASE_URL": url},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        assert all(statement in sql for statement in PREPARATIONS[database])
        subprocess.run(client(made, database, url), input=sql, check=True)
        assert described(url) == online
        assert '"alembic_version"' in online
        assert "quoted" in online
        made.run("alembic", "current", "--check-heads", DATABASE_URL=url)


def test_the_initial_revision_can_be_written_as_sql(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    url = {"sqlite": "sqlite:///unused.db"}.get(database, f"{database}://me:p%40ss%25@host/name")
    printed = made.run("alembic", "upgrade", "head", "--sql", DATABASE_URL=url).stdout
    assert "CREATE TABLE item (" in printed
    assert "INSERT INTO alembic_version (version_num) VALUES ('0001')" in printed
