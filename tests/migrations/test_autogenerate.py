"""Revisions that Alembic generates: complete, minimal, and without edits."""

import re
from collections.abc import Callable

from tests.support.checks import check
from tests.support.projects import Project
from tests.support.revisions import ALEMBIC, add_revision


def test_no_revision_is_written_without_a_difference(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    versions = made.path / "alembic/versions"
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        files = sorted(versions.glob("*.py"))
        command = ("alembic", "revision", "--autogenerate", "-m", "nothing")
        assert "no revision written" in made.run(*command, DATABASE_URL=url).stdout
        assert sorted(versions.glob("*.py")) == files
        assert "No new upgrade operations" in made.run("alembic", "check", DATABASE_URL=url).stdout
        made.run("alembic", "revision", "-m", "by hand", DATABASE_URL=url)
        [by_hand] = versions.glob("2*_by_hand.py")
        assert "from alembic import op" in by_hand.read_text("utf-8")


def test_shared_tables_are_ignored(project: Callable[..., Project], database: str) -> None:
    made = project(database, shared_tables=["auth_*", "django_session"])
    made.python("-m", "pytest", "-q", "tests/core/migrations")
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        made.sql(
            url,
            "CREATE TABLE auth_user (id INTEGER PRIMARY KEY)",
            "CREATE TABLE auth_group (id INTEGER, user_id INTEGER REFERENCES auth_user (id))",
            "CREATE TABLE django_session (id INTEGER)",
        )
        printed = made.run("alembic", "check", DATABASE_URL=url).stdout
        for name in ("auth_user", "auth_group", "django_session"):
            assert f"Ignored table {name}: it matches shared_tables" in printed
        made.sql(url, "CREATE TABLE django_sessions (id INTEGER)")
        command = ("alembic", "revision", "--autogenerate", "-m", "more")
        warned = made.run(*command, DATABASE_URL=url).stdout
        assert re.search(r"dangerous: .*_more.py:\d+: [Dd]rop.* table", warned)
        [revision] = (made.path / "alembic/versions").glob("2*_more.py")
        dropped = revision.read_text("utf-8").split("def downgrade")[0]
        assert 'op.drop_table("django_sessions")' in dropped
        assert "auth_" not in dropped
        assert '"django_session"' not in dropped


MODELS = """
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CHAR, JSON, CheckConstraint, Column, Computed, Dialect, ForeignKey, Identity, Integer, Numeric,
    SmallInteger, String, Table,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from app.core.models import Base, Entity, Versioned


class Code(TypeDecorator[str]):
    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(CHAR(9))


class Box(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VARCHAR(30)"


class AuthUser(Base):
    __tablename__ = "auth_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(10))


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    item_id: Mapped[UUID] = mapped_column(ForeignKey("item.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("auth_user.id"), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("note.id"), index=True)
    size: Mapped[int] = mapped_column(SmallInteger, unique=True)
    price: Mapped[Decimal] = mapped_column(Numeric(4, 2), server_default="1")
    code: Mapped[str] = mapped_column(Code)
    box: Mapped[str | None] = mapped_column(Box)
    data: Mapped[Any] = mapped_column(JSON)
    short: Mapped[str] = mapped_column(String(1))


link = Table(
    "link",
    Base.metadata,
    Column("note_id", ForeignKey("note.id"), primary_key=True),
    Column("item_id", ForeignKey("item.id"), primary_key=True),
)


class Role(Base):
    __tablename__ = "role"
    __table_args__ = (CheckConstraint("name IN ('new', 'old')", name="known"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(10))
    size: Mapped[int | None]
    twice: Mapped[int | None] = mapped_column(Computed("size * 2"))
"""


def test_common_models_pass_the_suite(project: Callable[..., Project], database: str) -> None:
    made = project(database, shared_tables=["auth_*"])
    (made.path / "app/modules/item/models.py").write_text(MODELS, "utf-8")
    # A shared table may keep its character set.
    charset = "CHARACTER SET latin1" if database == "mysql" else ""
    theirs = f"CREATE TABLE auth_user (id INTEGER PRIMARY KEY, name VARCHAR(10) {charset})"
    with made.server() as url:
        made.sql(url, theirs)
        commands = ["upgrade head", "revision --autogenerate -m more", "upgrade head", "check"]
        again = ("downgrade -1", "upgrade head")
        made.python("-c", ALEMBIC, *commands, *again, DATABASE_URL=url)
        fewer = re.sub("(?m)^    parent_id: .*\n", "", MODELS)
        (made.path / "app/modules/item/models.py").write_text(fewer, "utf-8")
        commands = ["revision --autogenerate -m less", "upgrade head", "check"]
        made.python("-c", ALEMBIC, *commands, *again, DATABASE_URL=url)
    versions = made.path / "alembic/versions"
    made.run("ruff", "check", "alembic")
    made.run("ruff", "format", "--check", "alembic")
    # Rows of the revision's own, with and without a key, and a table by another name.
    seed = "INSERT INTO role {0} VALUES ({1}'new')"
    add_revision(
        made,
        "seeds",
        (versions / "HEAD").read_text("utf-8").strip(),
        upgrade=f"""op.execute("{seed.format("(name)", "")}")
    op.rename_table("role", "rank")
    op.rename_table("rank", "role")
""",
        downgrade="op.execute(\"DELETE FROM role WHERE name = 'new'\")",
    )
    test = ("-m", "pytest", "-q", "-W", "ignore", "tests/test_migrations.py")
    printed = made.python(*test, status=1).stdout
    assert "No valid example row for role: add values to EXAMPLES in" in printed
    examples = made.path / "tests/example_rows.py"
    help_it = 'Any]] = {\n    ("role", "name"): lambda _: "old",'
    examples.write_text(examples.read_text("utf-8").replace("Any]] = {", help_it, 1), "utf-8")
    made.python(*test)


FIELDS = """
    colour: Mapped[Colour]
    sold_at: Mapped[datetime | None]
    lasted: Mapped[timedelta | None]
    code: Mapped[UUID | None] = mapped_column(unique=True)
    note: Mapped[str | None]
    tag_id: Mapped[UUID | None] = mapped_column(ForeignKey("tag.id"), index=True)


class Colour(Enum):
    RED = "red"
"""


def test_a_revision_that_a_user_generates_needs_no_edit(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database, modules=["item", "tag"])
    models = made.path / "app/modules/item/models.py"
    model, colour = FIELDS.split("\n\n\n")
    head = (
        "from datetime import datetime, timedelta\nfrom enum import Enum\nfrom uuid import UUID\n"
    )
    code = models.read_text("utf-8").replace("import String\n", "import ForeignKey, String\n")
    code = code.replace("class Item(", f"{colour}\n\nclass Item(") + model + "\n"
    models.write_text(f"{head}\n{code}", "utf-8")
    made.with_server(
        ["python", "-c", ALEMBIC, "upgrade head", "revision --autogenerate -m more"],
        ["python", "-c", ALEMBIC, "upgrade head", "check", "downgrade base", "upgrade head"],
    )
    [revision] = (made.path / "alembic/versions").glob("2*_more.py")
    assert "app." not in revision.read_text("utf-8")
    check(made)
