"""`nox -s squash` replaces revisions by an equal base, or changes nothing."""

import re
import signal
from collections.abc import Callable

from tests.support.projects import SUPPORT, Project, update
from tests.support.repositories import commit, files, git
from tests.support.revisions import ALEMBIC, add_revision

VERSIONS = "alembic/versions"
TABLES = """
with op.batch_alter_table("item") as batch:
        price = sa.Column("price", sa.Numeric(10, 2), server_default="1.5", nullable=False)
        batch.add_column(price)
        batch.add_column(sa.Column("twice", sa.Integer))
        batch.create_check_constraint("price", "price > 0")
        batch.alter_column(
            "name", type_=sa.String(150), existing_type=sa.String(200), existing_nullable=False
        )
    op.create_table(
        "child",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Uuid({uuid}), sa.ForeignKey("item.id", name="fk_item")),
        sa.Column("at", sa.DateTime, server_default=sa.func.now()),
        sa.Column("note", sa.String(20), comment="a note", unique=True),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("data", sa.JSON),
    )
    op.create_index("ix_child_at", "child", {index})
"""
DROP_TABLES = """
op.drop_table("child")
    with op.batch_alter_table("item") as batch:
        batch.drop_constraint(op.f("ck_item_price"), type_="check")
        batch.drop_column("price")
        batch.drop_column("twice")
"""
INDEXES = {"postgresql": '[sa.text("date(at)")]', "mysql": '["at", "note"]'}
VIEW = """
op.execute("CREATE VIEW names AS SELECT name FROM item")
    op.execute('''{trigger}''')
"""
DROP_VIEW = """
op.execute("DROP TRIGGER double_price{on}")
    op.execute("DROP VIEW names"){function}
"""
TRIGGERS = {
    "postgresql": """
        CREATE FUNCTION double_price() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.twice = NEW.price * 2; RETURN NEW; END $$''')
    op.execute('''
        CREATE TRIGGER double_price BEFORE INSERT ON item
        FOR EACH ROW EXECUTE FUNCTION double_price()""",
    "mysql": """
        CREATE TRIGGER double_price BEFORE INSERT ON item
        FOR EACH ROW SET NEW.twice = NEW.price * 2""",
    "sqlite": """
        CREATE TRIGGER double_price AFTER INSERT ON item
        BEGIN UPDATE item SET twice = price * 2 WHERE id = NEW.id; END""",
}
# What tables need, and what autogenerate does not write.
SPECIAL = """
    op.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    op.execute("CREATE SEQUENCE counter START 5")
    op.execute("CREATE DOMAIN code AS varchar(9) CHECK (VALUE <> '')")
    mood = sa.dialects.postgresql.ENUM("sad", "ok", name="mood", create_type=False)
    op.create_table(
        "special",
        sa.Column("id", sa.Integer, sa.Identity(start=7), primary_key=True),
        sa.Column("number", sa.Integer, server_default=sa.text("nextval('counter')")),
        sa.Column("mood", mood, server_default="ok"),
        sa.Column("code", sa.dialects.postgresql.DOMAIN("code", sa.String(9), create_type=False)),
        sa.Column("range", sa.dialects.postgresql.INT4RANGE),
        sa.UniqueConstraint("number", name="uq_number", deferrable=True, initially="DEFERRED"),
    )
    op.create_exclude_constraint("ex_range", "special", ("range", "&&"), using="gist")
    op.execute(sa.schema.CreateSchema("archive"))
    op.create_table(
        "item",
        sa.Column("id", sa.Uuid, sa.ForeignKey("item.id", name="fk_id"), primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("accounts.auth_user.id", name="fk_user")),
        sa.UniqueConstraint("user_id", name="uq_user", deferrable=True),
        schema="archive",
    )
"""
DROP_SPECIAL = """
    op.drop_table("item", schema="archive")
    op.execute(sa.schema.DropSchema("archive"))
    op.drop_table("special")
    op.execute("DROP DOMAIN code")
    op.execute("DROP SEQUENCE counter")
    op.execute("DROP TYPE mood")
"""
# A table of another application, and how a model refers to it.
SHARED = ("CREATE SCHEMA accounts", "CREATE TABLE accounts.auth_user (id INTEGER PRIMARY KEY)")
SHARED_MODEL = """

import sqlalchemy
from app.core.models import Base

USER = sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True)
sqlalchemy.Table("auth_user", Base.metadata, USER, schema="accounts")
"""
SQUASH = ("-m", "tools.migrations.squash")


def add_chain(made: Project, database: str) -> None:
    """Add revisions with tables, a branch and its merge, a view and a trigger."""
    uuid = "native_uuid=False" if database == "mysql" else ""
    index = INDEXES.get(database, '[sa.text("date(at)")]')
    tables = TABLES.format(uuid=uuid, index=index)
    add_revision(made, "tables", upgrade=tables, downgrade=DROP_TABLES)
    update = "op.execute(\"UPDATE item SET description = name WHERE description = ''\")"
    add_revision(made, "left", "tables", upgrade=update)
    function = (
        '\n    op.execute("DROP FUNCTION double_price()")' if database == "postgresql" else ""
    )
    on = " ON item" if database == "postgresql" else ""
    view = VIEW.format(trigger=TRIGGERS[database])
    drop = DROP_VIEW.format(on=on, function=function)
    if database == "postgresql":
        with (made.path / "app/modules/item/models.py").open("a", encoding="utf-8") as models:
            models.write(SHARED_MODEL)
        view, drop = view + SPECIAL, drop + DROP_SPECIAL
    add_revision(made, "right", "tables", upgrade=view, downgrade=drop)
    merge = add_revision(made, "merge")
    code = merge.read_text("utf-8").replace("'0001'", "('left', 'right')")
    merge.write_text(code, "utf-8")
    new = 'op.create_table("new", sa.Column("id", sa.Integer, primary_key=True))'
    add_revision(made, "new", "merge", upgrade=new, downgrade='op.drop_table("new")')


def test_a_squash_keeps_databases_that_are_beyond_it(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database, shared_tables=["accounts.*"])
    git(made.path, "init", "--quiet")
    add_chain(made, database)
    commit(made.path)
    describe = (str(SUPPORT / "describe_schema.py"),)

    def alembic(url: str, *commands: str, status: int = 0) -> str:
        return made.python("-c", ALEMBIC, *commands, status=status, DATABASE_URL=url).stdout

    def described(url: str) -> str:
        return made.python(*describe, PYTHONPATH=str(made.path), DATABASE_URL=url).stdout

    with made.server() as behind, made.server() as beyond, made.server() as fresh:
        if database == "postgresql":
            for url in (behind, beyond, fresh):
                made.sql(url, *SHARED)
        alembic(behind, "upgrade tables")
        alembic(beyond, "upgrade merge")
        printed = made.python(*SQUASH, "merge", status=1, DATABASE_URL=behind).stdout
        assert "is at tables, which would be gone" in printed
        with made.server() as server:
            printed = made.python(*SQUASH, "merge", TEST_DATABASE_URL=server).stdout
        assert "left.py:" in printed
        names = {path.name for path in (made.path / VERSIONS).iterdir()} - {"__pycache__"}
        assert names == {"HEAD", "merge.py", "new.py"}
        refused = alembic(behind, "upgrade head", status=255)
        assert "The database is at revision tables, which was squashed into merge" in refused
        alembic(beyond, "upgrade head", "current --check-heads")
        alembic(fresh, "upgrade head")
        assert described(fresh) == described(beyond)
        insert = "INSERT INTO item (id, name, price, version, created_at, updated_at)"
        values = f"VALUES ('{'0' * 32}', 'n', 4, 1, '2026-01-01', '2026-01-01')"
        made.sql(fresh, f"{insert} {values}")
        assert made.sql(fresh, "SELECT names.name, twice FROM item, names") == [["n", 8]]
        alembic(beyond, "downgrade base", "upgrade head")
    if database == "postgresql":
        made.python("-m", "pytest", "-q", "-k", "not models_match", "tests/test_migrations.py")
    made.run("ruff", "format", "--check", f"{VERSIONS}/merge.py")


def test_a_squash_that_is_not_possible_changes_nothing(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    git(made.path, "init", "--quiet")
    add_chain(made, "sqlite")
    before = files(made.path / VERSIONS)

    def refused(name: str) -> str:
        printed = made.python(*SQUASH, name, status=1).stdout
        assert files(made.path / VERSIONS) == before
        return printed

    assert "Commit the revisions first" in refused("merge")
    commit(made.path)
    assert "Can't locate revision identified by 'unknown'" in refused("unknown")
    assert "0001 is the first revision" in refused("0001")
    # On one side of a branch.
    assert "needs tables, which would be gone" in refused("left")
    seed = "INSERT INTO new VALUES (1)"
    file = add_revision(made, "rows", "new", upgrade=f'op.execute("{seed}")')
    before = files(made.path / VERSIONS)
    assert "Commit the revisions first" in refused("rows")
    commit(made.path)
    printed = refused("rows")
    assert "-row of new: (1,)" in printed
    assert re.search(rf"{file}:\d+: op.execute\('{re.escape(seed)}'\)", printed)
    # In the revisions of another environment.
    with (made.path / "alembic.ini").open("a", encoding="utf-8") as ini:
        ini.write(f"\n[testing]\nscript_location = alembic\nversion_locations = {TESTING}\n")
    (made.path / "alembic/testing").mkdir()
    sample = 'revision, down_revision, depends_on = "sample", None, "tables"\n'
    (made.path / "alembic/testing/sample.py").write_text(sample, "utf-8")
    assert "sample.py needs tables, which would be gone" in refused("merge")


TESTING = "alembic/versions:alembic/testing\npath_separator = os"
KILL = f"""
import os, sys
from pathlib import Path
from tools.migrations.squash import main

def unlink(path, original=Path.unlink, **options):
    if path.parent.name == "versions":
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    original(path, **options)

Path.unlink = unlink
sys.argv = ["squash", "merge"]
main()
"""


def test_git_undoes_a_squash_that_is_killed_and_an_update_keeps_one_that_is_complete(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    add_chain(made, "sqlite")
    commit(made.path)
    before = files(made.path / VERSIONS)
    made.fresh.python("-c", KILL, status=-signal.SIGKILL)
    # The old revisions are still there, and the base is complete.
    assert files(made.path / VERSIONS).keys() == before.keys()
    assert "replaces" in (made.path / VERSIONS / "merge.py").read_text("utf-8")
    git(made.path, "restore", VERSIONS)
    assert files(made.path / VERSIONS) == before
    made.python(*SQUASH, "merge")
    commit(made.path)
    squashed = files(made.path / VERSIONS)
    update(made.path, modules=["item", "tag"])
    assert files(made.path / VERSIONS) == squashed
