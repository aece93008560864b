"""CHECK constraints of existing models: generated, applied, reverted, and compared."""

from collections.abc import Callable

import pytest

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC, migrate

MODEL = """
from decimal import Decimal

from sqlalchemy import Boolean, CheckConstraint, Enum, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"
    __table_args__ = ({checks},)

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    sold: Mapped[bool | None] = mapped_column(Boolean(create_constraint=True))
    size: Mapped[str | None] = mapped_column(
        Enum(*{sizes}, native_enum=False, create_constraint=True, name="size")
    )
"""
INSERT = (
    "INSERT INTO item (id, name, price, version, created_at, updated_at)"
    " VALUES ('{key:032x}', 'Lamp', {price}, 1, '2026-01-01', '2026-01-01')"
)


def write(made: Project, *checks: str, sizes: tuple[str, ...] = ("S", "L")) -> None:
    listed = [f"CheckConstraint({text!r}, name='price_{n}')" for n, text in enumerate(checks)]
    models = made.path / "app/modules/item/models.py"
    models.write_text(MODEL.format(checks=", ".join(listed), sizes=sizes), "utf-8")


def test_check_constraints_of_existing_tables_are_generated(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    with made.server() as url:
        made.python("-c", ALEMBIC, "upgrade head", DATABASE_URL=url)
        # The columns are new, too: they have to be there before their constraints.
        write(made, "price > 0", "price < 1000 OR name = 'Gold: 100%'")
        of_types = 1 if database == "postgresql" else 2
        assert migrate(made, url, "add").count("create_check_constraint") == 2 + of_types
        made.sql(url, INSERT.format(key=1, price=5))
        with pytest.raises(AssertionError, match=r"(?i)check|constraint"):
            made.sql(url, INSERT.format(key=2, price=0))

        write(made, "price > 1", "price < 1000 OR name = 'Gold: 100%'", sizes=("S", "XL"))
        made.python("-c", ALEMBIC, "check", DATABASE_URL=url, status=255)
        changed = migrate(made, url, "change")
        assert "price_1" not in changed
        with pytest.raises(AssertionError, match=r"(?i)check|constraint"):
            made.sql(url, INSERT.format(key=2, price=1))
        made.sql(url, "UPDATE item SET size = 'XL'")
        with pytest.raises(AssertionError, match=r"(?i)check|constraint"):
            made.sql(url, "UPDATE item SET size = 'L'")

        write(made, "price > 1", sizes=("S", "XL"))
        assert "drop_constraint" in migrate(made, url, "remove")
        made.sql(url, INSERT.format(key=2, price=2000))
        made.sql(url, "DELETE FROM item")
        made.python("-c", ALEMBIC, "downgrade base", DATABASE_URL=url)
