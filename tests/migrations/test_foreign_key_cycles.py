"""Tables that refer to each other: revisions that Alembic generates run in both directions."""

from collections.abc import Callable

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC

HEAD = """
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))
"""
NEW = """

class Author(Entity):
    __tablename__ = "author"

    book_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("book.id", ondelete="SET NULL"), index=True
    )
    item_id: Mapped[UUID] = mapped_column(ForeignKey("item.id"), index=True)


class Book(Entity):
    __tablename__ = "book"

    author_id: Mapped[UUID] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"))
    sequel_id: Mapped[UUID | None] = mapped_column(ForeignKey("book.id"))


class Award(Entity):
    __tablename__ = "award"

    code: Mapped[str] = mapped_column(String(9), unique=True)
    index: Mapped[str] = mapped_column(String(9), unique=True, index=True)
    book_id: Mapped[UUID] = mapped_column(ForeignKey("book.id"))
    next_code: Mapped[str | None] = mapped_column(ForeignKey("award.code"))
    next_index: Mapped[str | None] = mapped_column(ForeignKey("award.index"))


class City(Entity):
    __tablename__ = "city"

    mayor_id: Mapped[UUID | None] = mapped_column(ForeignKey("mayor.id"), unique=True)


class Party(Entity):
    __tablename__ = "party"

    city_id: Mapped[UUID | None] = mapped_column(ForeignKey("city.id"))


class Mayor(Entity):
    __tablename__ = "mayor"

    party_id: Mapped[UUID | None] = mapped_column(ForeignKey("party.id"))


class Owner(Entity):
    __tablename__ = "owner"

    pet_id: Mapped[UUID | None] = mapped_column(ForeignKey("pet.id", use_alter=True))
    boss_id: Mapped[UUID | None] = mapped_column(ForeignKey("owner.id", use_alter=True))


class Pet(Entity):
    __tablename__ = "pet"

    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("owner.id"))
"""
PRIZE = """

class Prize(Entity):
    __tablename__ = "prize"

    item_id: Mapped[UUID | None] = mapped_column(ForeignKey("item.id"))
    award_id: Mapped[UUID | None] = mapped_column(ForeignKey("award.id", use_alter=True))
"""
KEYS = {
    "item": ["award", "prize"],
    "pet": ["prize", "item"],
}


def with_keys(models: str) -> str:
    """Add the foreign keys of KEYS, which refer to new and to existing tables."""
    for table, parents in KEYS.items():
        for parent in parents:
            line = f'{parent}_id: Mapped[UUID | None] = mapped_column(ForeignKey("{parent}.id"))'
            name = f'__tablename__ = "{table}"\n'
            models = models.replace(name, f"{name}\n    {line}")
    return models


def test_cycles_of_foreign_keys_need_no_edit(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    models = made.path / "app/modules/item/models.py"
    steps = {
        "new": HEAD + NEW,
        "existing": with_keys(HEAD + NEW + PRIZE),
        "gone": HEAD,
    }
    check = ("upgrade head", "check")
    with made.server() as url:
        made.python("-c", ALEMBIC, "upgrade head", DATABASE_URL=url)
        for name, code in steps.items():
            models.write_text(code, "utf-8")
            commands = (f"revision --autogenerate -m {name}", *check, "downgrade -1", *check)
            again = ("downgrade base", *check)
            printed = made.python("-c", ALEMBIC, *commands, *again, DATABASE_URL=url).stdout
            assert "Cannot correctly sort" not in printed
            if name != "gone":
                made.python("-m", "pytest", "-q", "tests/test_migrations.py")
