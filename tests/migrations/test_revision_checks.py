"""The rendered tests find revisions that lose data or lock tables."""

import re
from collections.abc import Callable

import pytest

from tests.support.edits import edit
from tests.support.projects import Project
from tests.support.revisions import add_revision


@pytest.mark.long
def test_a_revision_that_fails_on_existing_rows_fails_the_suite(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    code = {
        "postgresql": 'op.add_column("item", sa.Column("n", sa.Integer, nullable=False))',
        # It would fill the new column with zeros, unasked.
        "mysql": 'op.execute("ALTER TABLE item ADD n INTEGER, MODIFY name VARCHAR(0)")',
        "sqlite": 'op.add_column("item", sa.Column("n", sa.Integer, nullable=False))',
    }[database]
    add_revision(made, "strict", upgrade=code, downgrade='op.drop_column("item", "n")')
    test = ("-m", "pytest", "-q", "-k", "rows_survive or upgrades_downgrades")
    printed = made.python(*test, status=1).stdout
    assert "upgrade 0001 -> strict, strict: failed." in printed
    assert re.search("FAILED.*test_rows_survive_every_revision", printed)
    add_revision(made, "strict", upgrade='op.execute("DELETE FROM item")')
    assert "strict.py loses rows of ['item']" in made.python(*test, status=1).stdout
    add_revision(made, "strict", upgrade="op.execute(\"UPDATE item SET name = 'same'\")")
    assert "changes values" in made.python(*test, status=1).stdout
    code = "# lossy: the names were wrong\n    op.execute(\"UPDATE item SET name = 'same'\")"
    add_revision(made, "strict", upgrade=code)
    made.python(*test)


DANGEROUS = {
    'op.drop_table("item")': "drop",
    'op.drop_column("item", "name")': "drop.*nox -s compat",
    'op.add_column("item", sa.Column("n", sa.Integer, nullable=False))': "default",
    'op.alter_column("item", "name", type_=sa.Text(), existing_type=sa.String(200))': (
        "type.*nox -s locks"
    ),
    'op.execute("DROP TABLE item")': "drop",
    'op.execute("ALTER TABLE item ADD a INT, DROP COLUMN name")': "drop",
}

INDEX = 'op.create_index("ix_item_description", "item", ["description"])'


def test_dangerous_operations_are_reported_and_suppressed_per_line(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    dangerous = DANGEROUS | ({INDEX: "index"} if database == "postgresql" else {})
    harmless = 'op.add_column("item", sa.Column("m", sa.Integer))'
    file = add_revision(made, "bold", upgrade="\n    ".join([harmless, *dangerous]))
    test = ("-m", "pytest", "-q", "-k", "dangerous_operations", "tests/test_migrations.py")
    warned = made.python(*test).stdout
    code = file.read_text("utf-8").splitlines()
    for line, word in dangerous.items():
        number = next(n for n, text in enumerate(code, 1) if text.strip() == line)
        assert re.search(rf"(?i)bold.py:{number}: .*{word}", warned), line
    assert len(re.findall(r"DangerousOperationWarning: bold.py", warned)) >= len(dangerous)
    number = next(n for n, text in enumerate(code, 1) if text.strip() == harmless)
    assert f"bold.py:{number}:" not in warned
    reasons = "\n    ".join([harmless, *(f"{line}  # safe: it is unused" for line in dangerous)])
    add_revision(made, "bold", upgrade=reasons)
    assert "bold.py" not in made.python(*test).stdout
    add_revision(made, "bold", upgrade=reasons.replace("# safe: it is unused", "# safe:"))
    assert "bold.py" in made.python(*test).stdout


def test_models_without_a_revision_fail_one_test(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    edit(
        made.path / "app/modules/item/models.py",
        "    name: Mapped",
        "    price: Mapped[int]\n    name: Mapped",
    )
    tests = (
        "tests/modules",
        "tests/test_migrations.py",
        "tests/core/migrations",
    )
    printed = made.python("-m", "pytest", "-q", *tests, status=1).stdout
    advice = (
        "The models and the migrations differ; generate the revision first: uv run alembic revision"
    )
    [failed] = re.findall("^FAILED (.*)$", printed, re.MULTILINE)
    assert failed.startswith("tests/test_migrations.py::test_models_match_the_migrations")
    assert f"AssertionError: {advice}" in printed
    assert not re.search("^ERROR ", printed, re.MULTILINE)
    # If every test is skipped, the run still fails.
    printed = made.python("-m", "pytest", "-q", "tests/modules", status=1).stdout
    assert set(re.findall(r"^SKIPPED \[\d+\] \S+ (.{79})", printed, re.MULTILINE)) == {advice[:79]}
