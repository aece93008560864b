"""Tables outside the default schema: migrated on PostgreSQL, rejected elsewhere."""

from collections.abc import Callable

import pytest

from tests.support.projects import Project, shared_server
from tests.support.revisions import ALEMBIC, migrate

MODELS = """
from typing import Any

from sqlalchemy import (
    CheckConstraint, Column, Computed, ForeignKey, Integer, String, Table,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))


def table(name: str, *items: Any, **options: Any) -> None:
    Table(name, Base.metadata, Column("id", Integer, primary_key=True), *items, **options)


table("auth_user", schema="accounts")
"""
# The same name in two schemas, foreign keys between all of them, and a cycle.
BEFORE = """
table("note")
table("note", Column("note_id", ForeignKey("note.id"), index=True), schema="billing")
table("invoice", Column("user_id", ForeignKey("accounts.auth_user.id")),
      Column("report_id", ForeignKey("Annual Reports.report.id")),
      Column("item_id", ForeignKey("item.id")), Column("size", Integer, server_default="1"),
      Column("twice", Integer, Computed("size * 2")), CheckConstraint("size > 0", name="sized"),
      schema="billing")
table("report", Column("invoice_id", ForeignKey("billing.invoice.id")),
      Column("parent_id", ForeignKey("Annual Reports.report.id")), schema="Annual Reports")
table("label", schema="billing")
"""
AFTER = (
    BEFORE.replace('server_default="1"', 'server_default="2"')
    .replace("size * 2", "size * 3")
    .replace("size > 0", "size >= 0")
    .replace('"label", schema="billing"', '"label", schema="Annual Reports"')
)
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1"
OTHER = ["accounts", "information_schema", "legacy", "public"]
TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE tablename = '{}' ORDER BY 1"


@pytest.fixture
def postgresql(project: Callable[..., Project]) -> Project:
    made = project("postgresql", shared_tables=["accounts.*"])
    (made.path / "app/modules/item/models.py").write_text(MODELS + BEFORE, "utf-8")
    return made


def set_up(made: Project, url: str) -> None:
    """Create the schemas of other applications; the search path leads to all schemas."""
    database = made.sql(url, "SELECT current_database()")[0][0]
    made.sql(
        url,
        "CREATE SCHEMA accounts",
        "CREATE TABLE accounts.auth_user (id INTEGER PRIMARY KEY)",
        "CREATE TABLE accounts.auth_group (id INTEGER)",
        "CREATE SCHEMA legacy",
        "CREATE TABLE legacy.item (id INTEGER)",
        "CREATE TABLE legacy.old (id INTEGER)",
        f"ALTER DATABASE {database} SET search_path = billing, public, legacy, accounts",
    )


@pytest.mark.database("postgresql")
def test_migrations_do_not_depend_on_the_search_path(postgresql: Project) -> None:
    made = postgresql
    models = made.path / "app/modules/item/models.py"
    with made.server() as url:
        set_up(made, url)
        code = migrate(made, url, "before")
        assert code.count("CreateSchema(") == 2
        assert made.sql(url, TABLES.format("alembic_version")) == [["public", "alembic_version"]]
        assert made.sql(url, TABLES.format("note")) == [["billing", "note"], ["public", "note"]]

        models.write_text(MODELS + AFTER, "utf-8")
        code = migrate(made, url, "after")
        assert "CreateSchema(" not in code
        assert """# op.execute('ALTER TABLE billing.label SET SCHEMA "Annual Reports"')""" in code
        for change in ("size >= 0", "size * 3", 'server_default="2"'):
            assert change in code

        # Its tables are dropped, although no model names their schema any more.
        models.write_text(MODELS, "utf-8")
        code = migrate(made, url, "gone")
        assert code.split("def downgrade")[0].count("op.drop_table(") == 5
        # Nor does the script's search path depend on that of the role.
        script = made.run("alembic", "upgrade", "head", "--sql", DATABASE_URL=url).stdout
        assert "set_config(\n    'search_path'" in script.split("CREATE TABLE")[0]
        made.python("-c", ALEMBIC, "downgrade base", DATABASE_URL=url)
        assert [name for [name] in made.sql(url, SCHEMAS)] == OTHER
        assert made.sql(url, TABLES.format("old")) == [["legacy", "old"]]
    made.run("ruff", "check", "alembic")
    made.run("ruff", "format", "--check", "alembic")


@pytest.mark.database("postgresql")
def test_a_foreign_key_that_names_the_default_schema_is_rejected(postgresql: Project) -> None:
    made = postgresql
    named = """
table("page", Column("note_id", ForeignKey("public.note.id")))
table("note", schema="public")
"""
    (made.path / "app/modules/item/models.py").write_text(MODELS + named, "utf-8")
    with made.server() as url:
        set_up(made, url)
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        command = ("alembic", "revision", "--autogenerate", "-m", "named")
        printed = made.run(*command, DATABASE_URL=url, status=255).stdout
        assert "'public' is the default schema" in printed


@pytest.mark.database("postgresql")
def test_the_suite_covers_all_schemas(postgresql: Project) -> None:
    made = postgresql
    server = shared_server(made.environment)
    made.python("-m", "tools.initial_revision", TEST_DATABASE_URL=server)
    made.python("-m", "tools.schema")
    drawn = (made.path / "docs/schema.md").read_text("utf-8")
    assert "invoice" in drawn
    test = ("-m", "pytest", "-q", "-W", "ignore", "tests/test_migrations.py")
    made.python(*test)
    [revision] = (made.path / "alembic/versions").glob("*_initial.py")
    code = revision.read_text("utf-8")
    revision.write_text(code.replace("    op.execute(sa.schema.DropSchema", "    # op."), "utf-8")
    printed = made.python(*test, status=1).stdout
    assert "test_a_downgrade_to_base_leaves_nothing" in printed
    assert "('schema', 'billing')" in printed


@pytest.mark.parametrize("database", ["mysql", "sqlite"], indirect=True)
def test_a_schema_is_rejected_elsewhere(project: Callable[..., Project], database: str) -> None:
    made = project(database, shared_tables=["accounts.*"])
    models = made.path / "app/modules/item/models.py"
    models.write_text(MODELS + 'table("invoice", schema="billing")\n', "utf-8")
    with made.server() as url:
        for command in ("upgrade head", "check", "revision --autogenerate -m more"):
            printed = made.run("alembic", *command.split(), DATABASE_URL=url, status=255).stdout
            assert "Table billing.invoice: the schema 'billing' cannot be migrated" in printed
            assert '__tablename__ = "billing_invoice"' in printed
