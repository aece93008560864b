"""Changed primary keys, which Alembic does not detect."""

import re
from collections.abc import Callable

import pytest

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC, add_revision

# Without a type, a column has that of the column that its foreign key refers to.
MODELS = """
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))


def table(name: str, *items: Any) -> None:
    Table(name, Base.metadata, *items)


def text(name: str, **options: Any) -> Column[str]:
    return Column(name, String(20), **options)


def number(name: str, **options: Any) -> Column[int]:
    return Column(name, Integer, **options)


KEY: Any = {"primary_key": True, "autoincrement": False}
"""
BEFORE = """
table("adopted", text("code", nullable=False))
table("named", text("code", **KEY))
table("offer", text("code", **KEY), text("region", nullable=False))
table("order_line", text("id", **KEY), text("offer", nullable=False),
      ForeignKeyConstraint(["offer"], ["offer.code"]))
table("place", text("code", **KEY), number("number", nullable=False))
table("released", text("code", **KEY))
table("renewed", text("old", **KEY), text("other"))
table("swapped", text("a", **KEY), text("b", **KEY))
"""
AFTER = """
table("adopted", text("code", **KEY))
table("named", text("code"), PrimaryKeyConstraint("code", name="pk_chosen"))
table("archive", text("id", **KEY), text("offer"), text("region"),
      ForeignKeyConstraint(["offer", "region"], ["offer.code", "offer.region"]))
table("offer", text("code", **KEY), text("region", **KEY))
table("order_line", text("id", **KEY), text("offer", nullable=False), text("region"),
      ForeignKeyConstraint(["offer", "region"], ["offer.code", "offer.region"]))
table("place", text("code"), number("number", **KEY))
table("released", text("code", nullable=False))
table("renewed", text("new", **KEY), text("other"))
table("swapped", text("a"), text("b"), PrimaryKeyConstraint("b", "a"))
"""
CHANGED = {"adopted", "offer", "place", "released", "renewed", "swapped"}


def test_a_changed_primary_key_is_replaced(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    models = made.path / "app/modules/item/models.py"
    versions = made.path / "alembic/versions"
    with made.server() as url:
        models.write_text(MODELS + BEFORE, "utf-8")
        first = ("upgrade head", "revision --autogenerate -m before", "upgrade head", "check")
        made.python("-c", ALEMBIC, *first, DATABASE_URL=url)
        made.sql(
            url,
            "INSERT INTO place (code, number) VALUES ('a', 1)",
            "INSERT INTO offer (code, region) VALUES ('a', 'b')",
            "INSERT INTO order_line (id, offer) VALUES ('1', 'a')",
        )
        head = (versions / "HEAD").read_text("utf-8")

        models.write_text(MODELS + AFTER, "utf-8")
        printed = made.run("alembic", "check", DATABASE_URL=url, status=255).stdout
        assert set(re.findall("Detected changed primary key of table (.*)", printed)) == CHANGED
        then = ("revision --autogenerate -m after", "upgrade head", "check")
        made.python("-c", ALEMBIC, *then, "downgrade -1", "upgrade head", DATABASE_URL=url)
        assert made.sql(url, "SELECT code, number FROM place") == [["a", 1]]
        made.run("ruff", "check", "alembic")
        made.run("ruff", "format", "--check", "alembic")

        made.run("alembic", "downgrade", "-1", DATABASE_URL=url)
        [revision] = versions.glob("2*_after.py")
        revision.unlink()
        (versions / "HEAD").write_text(head, "utf-8")
        models.write_text(MODELS + BEFORE, "utf-8")
        made.run("alembic", "check", DATABASE_URL=url)
        assert made.sql(url, "SELECT id, offer FROM order_line") == [["1", "a"]]


def generate(made: Project, url: str, models: str) -> tuple[str, str]:
    """Write models; return the revision that autogenerate writes, and what it prints."""
    (made.path / "app/modules/item/models.py").write_text(MODELS + models, "utf-8")
    command = ("alembic", "revision", "--autogenerate", "-m", "more")
    printed = made.run(*command, DATABASE_URL=url).stdout
    head = (made.path / "alembic/versions/HEAD").read_text("utf-8").strip()
    [revision] = (made.path / "alembic/versions").glob(f"*_{head}_more.py")
    return revision.read_text("utf-8"), printed


# As docs/migrations.md says.
AUTO_INCREMENT = """ALTER TABLE badge DROP PRIMARY KEY,\
 ADD COLUMN id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY"""
REVERSE = "ALTER TABLE badge DROP COLUMN id, ADD PRIMARY KEY (code)"


def test_a_new_key_that_the_database_does_not_number_is_reported(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    versions = made.path / "alembic/versions"
    numbered = """table("badge", number("id", primary_key=True), text("code", nullable=False))"""
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        generate(made, url, """table("badge", text("code", **KEY))""")
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        made.sql(url, "INSERT INTO badge (code) VALUES ('a'), ('b')")
        head = (versions / "HEAD").read_text("utf-8").strip()
        code, printed = generate(made, url, numbered)
        sentence = "The model of badge leaves the new primary key to the database"
        assert (sentence in printed) is (database != "sqlite")
        assert code.count(f"# {sentence}") == (database != "sqlite")

        if database != "sqlite":
            [revision] = [file for file in versions.glob("*_more.py") if head not in file.name]
            revision.unlink()
            (versions / "HEAD").write_text(f"{head}\n", "utf-8")
        if database == "postgresql":
            identity = numbered.replace('number("id"', 'Column("id", Integer, Identity()')
            identity = f"from sqlalchemy import Identity\n\n{identity}"
            assert sentence not in generate(made, url, identity)[1]
        if database == "mysql":
            words = (f'op.execute("{AUTO_INCREMENT}")', f'op.execute("{REVERSE}")')
            add_revision(made, "numbered", head, *words)
        commands = ("upgrade head", "check", "downgrade -1", "upgrade head", "check")
        made.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
        made.sql(url, "INSERT INTO badge (code) VALUES ('c')")
        assert made.sql(url, "SELECT count(DISTINCT id) FROM badge") == [[3]]


PARENT = """
table("place", text("code", **KEY), number("number", nullable=False))
table("visit", text("id", **KEY), text("place"), ForeignKeyConstraint(["place"], ["place.code"]))
"""


def test_a_key_that_a_foreign_key_still_refers_to_is_not_replaced(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        generate(made, url, PARENT)
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        made.sql(
            url,
            "INSERT INTO place (code, number) VALUES ('a', 1)",
            "INSERT INTO visit (id, place) VALUES ('1', 'a')",
        )
        changed = PARENT.replace('"code", **KEY', '"code", nullable=False')
        generate(made, url, changed.replace('"number", nullable=False', '"number", **KEY'))
        failed = made.run("alembic", "upgrade", "head", DATABASE_URL=url, status=255).stdout
        assert re.search("(?i)other objects depend|foreign key", failed), failed


@pytest.mark.database("mysql")
def test_an_auto_increment_column_gets_another_key_in_one_statement(
    project: Callable[..., Project],
) -> None:
    made = project("mysql")
    versions = made.path / "alembic/versions"
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        generate(made, url, 'table("seat", number("id", primary_key=True), number("place"))')
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        head = (versions / "HEAD").read_text("utf-8").strip()
        generate(made, url, 'table("seat", number("id", primary_key=True), number("place", **KEY))')
        failed = made.run("alembic", "upgrade", "head", DATABASE_URL=url, status=255).stdout
        assert "there can be only one auto column and it must be defined as a key" in failed

        [revision] = [file for file in versions.glob("*_more.py") if head not in file.name]
        revision.unlink()
        alter = 'op.execute("ALTER TABLE seat DROP PRIMARY KEY, ADD PRIMARY KEY ({})")'
        add_revision(made, "extended", head, alter.format("id, place"), alter.format("id"))
        commands = ("upgrade head", "check", "downgrade -1", "upgrade head", "check")
        made.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
