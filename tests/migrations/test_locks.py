"""`nox -s locks` shows what the server locks, rewrites and scans for each statement."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.projects import Project
from tests.support.repositories import commit, git
from tests.support.revisions import add_revision

LOCKS = ("-m", "tools.migrations.locks")

# Whether the check of a foreign key scans the table that it refers to.
DEPENDS_ON_PLAN = re.compile(r"^((?:tag|label) \| [^|]*SHARE[^|]* \| no \| )\w+")
# The statements of a revision, each with the rows that are shown for it.
Statements = Mapping[str, tuple[str, ...]]
POSTGRESQL: Statements = {
    'op.add_column("item", sa.Column("tag_id", sa.Uuid))': (
        "item | ACCESS EXCLUSIVE | no | no | reads and writes",
    ),
    'op.add_column("item", sa.Column("colour", sa.String(30)))': (
        "— | no further lock | no | no | nothing further",
    ),
    'op.create_table("lamp", sa.Column("n", sa.Integer))': (
        "— | no further lock | no | no | nothing further",
    ),
    'op.alter_column("tag", "version", type_=sa.BigInteger)': (
        "tag | ACCESS EXCLUSIVE | yes | yes | reads and writes",
    ),
    'op.create_index("ix_colour", "item", ["colour"])': (
        "item | SHARE, ACCESS EXCLUSIVE held | no | yes | reads and writes",
    ),
    'op.create_foreign_key("fk", "item", "tag", ["tag_id"], ["id"], postgresql_not_valid=True)': (
        "item | SHARE ROW EXCLUSIVE, ACCESS EXCLUSIVE held | no | no | reads and writes",
        "tag | SHARE ROW EXCLUSIVE, ACCESS EXCLUSIVE held | no | ? | reads and writes",
    ),
    'op.execute("ALTER TABLE item VALIDATE CONSTRAINT fk")': (
        "item | SHARE UPDATE EXCLUSIVE, ACCESS EXCLUSIVE held | no | yes | reads and writes",
        "tag | ROW SHARE, ACCESS EXCLUSIVE held | no | ? | reads and writes",
    ),
    "op.execute(\"UPDATE item SET description = 'a|b'\")": (
        "item | ROW EXCLUSIVE, ACCESS EXCLUSIVE held | no | yes | reads and writes",
    ),
    'op.rename_table("tag", "label")': (
        # No further lock, as the change of the type has the same.
        "— | no further lock | no | no | nothing further",
    ),
}
AUTOCOMMIT: Statements = {
    'op.create_index("ix_name", "item", ["name"], postgresql_concurrently=True)': (
        "item | SHARE UPDATE EXCLUSIVE | no | yes | nothing",
    ),
    'op.execute("ALTER TABLE item ADD COLUMN code uuid DEFAULT gen_random_uuid()")': (
        "item | ACCESS EXCLUSIVE | yes | yes | reads and writes",
    ),
    'op.create_foreign_key("fk_again", "item", "label", ["tag_id"], ["id"])': (
        "item | SHARE ROW EXCLUSIVE | no | yes | writes",
        "label | SHARE ROW EXCLUSIVE | no | ? | writes",
    ),
    "op.execute(\"ALTER TABLE item ADD CONSTRAINT valid CHECK (name > '') NOT VALID\")": (
        "item | ACCESS EXCLUSIVE | no | no | reads and writes",
    ),
    'op.execute("ALTER TABLE item VALIDATE CONSTRAINT valid")': (
        "item | SHARE UPDATE EXCLUSIVE | no | yes | nothing",
    ),
    "op.execute(\"UPDATE label SET description = 'a|b'\")": (
        "label | ROW EXCLUSIVE | no | yes | writes to the same rows",
    ),
    'op.execute("SET lock_timeout = 0")': ("— | at most ROW SHARE | no | no | nothing further",),
}
# What MariaDB has besides, the second since 11.2.
ONLY_MARIADB = {
    "ALGORITHM=NOCOPY": "ALGORITHM=INPLACE",
    "ALGORITHM=COPY LOCK=NONE | yes | nothing": "ALGORITHM=COPY LOCK=SHARED | yes | writes",
}
MYSQL: Statements = {
    'op.add_column("item", sa.Column("tag_id", sa.CHAR(32)))': (
        "item | ALGORITHM=INSTANT | no | nothing",
    ),
    'op.create_index("ix_tag", "item", ["tag_id"])': (
        "item | ALGORITHM=INPLACE LOCK=NONE | no | nothing",
    ),
    'op.create_foreign_key("fk", "item", "tag", ["tag_id"], ["id"])': (
        "item | ALGORITHM=COPY LOCK=SHARED | yes | writes",
    ),
    'op.execute("ALTER TABLE item DROP PRIMARY KEY, ADD PRIMARY KEY (id, name)")': (
        "item | ALGORITHM=INPLACE LOCK=NONE | yes | nothing",
    ),
    'op.execute("ALTER TABLE tag MODIFY version BIGINT NOT NULL, ALGORITHM=COPY")': (
        "tag | not tried | — | —",
    ),
    'op.drop_index("ix_item_name", "item")': ("item | ALGORITHM=INPLACE LOCK=NONE | no | nothing",),
    "op.execute(\"UPDATE item SET description = 'a|b'\")": ("— | not tried | — | —",),
    "op.add_column('item', sa.Column('part', sa.String(9), server_default='9%'))": (
        "item | ALGORITHM=INSTANT | no | nothing",
    ),
    'op.rename_table("tag", "label")': ("tag | ALGORITHM=INSTANT | no | nothing",),
}
SQLITE: Statements = {
    'op.add_column("item", sa.Column("colour", sa.String(30)))': ("none",),
    'with op.batch_alter_table("item") as batch_op: batch_op.alter_column("name", type_=sa.Text)': (
        *("none", "none", "none", "item", "none"),
    ),
}


def measure(made: Project, *arguments: str, status: int = 0) -> str:
    with made.server() as url:
        return made.python(*LOCKS, *arguments, status=status, TEST_DATABASE_URL=url).stdout


def rows(report: str) -> list[str]:
    """Return the rows of the tables, without the line, the statement and padding."""
    found = [line for line in report.splitlines() if re.match(r"\| \d", line)]
    cells = [re.split(r" +\| +", line.strip("| "))[2:] for line in found]
    return [DEPENDS_ON_PLAN.sub(r"\1?", " | ".join(row)) for row in cells]


def code(statements: Statements, indent: str = "    ") -> str:
    return f"\n{indent}".join(statements)


def expected(*cases: Statements) -> list[str]:
    return [row for statements in cases for shown in statements.values() for row in shown]


@pytest.mark.database("postgresql")
def test_locks_rewrites_and_scans_are_those_of_postgresql(project: Callable[..., Project]) -> None:
    made = project("postgresql", modules=["item", "tag"])
    block = f"with op.get_context().autocommit_block():\n        {code(AUTOCOMMIT, ' ' * 8)}"
    add_revision(made, "new", upgrade=f"{code(POSTGRESQL)}\n    {block}")
    report = measure(made, "new")
    assert rows(report) == expected(POSTGRESQL, AUTOCOMMIT)
    assert "### new: new\n\n`alembic/versions/new.py`\n\n| Line | Statement " in report
    line = (made.path / "alembic/versions/new.py").read_text("utf-8").split("UPDATE")[0].count("\n")
    assert f"| {line + 1}   | UPDATE item SET description = 'a\\|b' " in report


@pytest.mark.database("mysql")
def test_algorithms_are_those_that_the_server_accepts(project: Callable[..., Project]) -> None:
    made = project("mysql", modules=["item", "tag"])
    add_revision(made, "new", upgrade=code(MYSQL))
    shown = "\n".join(rows(measure(made, "new")))
    for only_mariadb, other in ONLY_MARIADB.items():
        shown = shown.replace(only_mariadb, other)
    assert shown.splitlines() == expected(MYSQL)


def test_new_revisions_and_the_tables_that_sqlite_copies_are_appended_to_a_file(
    committed: Callable[..., Project], tmp_path: Path
) -> None:
    made = committed()
    page = tmp_path / "summary.md"
    page.write_text("# Summary\n", "utf-8")
    options = ("--markdown", str(page))
    assert measure(made, "main", *options) == "No new revisions.\n"
    assert page.read_text("utf-8") == "# Summary\n"
    git(made.path, "checkout", "--quiet", "-b", "feature")
    add_revision(made, "new", upgrade=code(SQLITE))
    commit(made.path)
    report = measure(made, "HEAD^1", *options)
    assert page.read_text("utf-8") == f"# Summary\n{report}"
    assert rows(report) == expected(SQLITE)
    assert "nowhere: no such branch or commit" in measure(made, "nowhere", status=1)
    add_revision(made, "new", upgrade='op.drop_table("lamp")')
    assert "upgrade 0001 -> new, new: failed." in measure(made, status=1)
