"""Computed columns of existing models: changes are generated, applied and reverted."""

from collections.abc import Callable

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC, migrate

MODEL = """
from sqlalchemy import Computed, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))
    size: Mapped[int | None]
    total: Mapped[int | None] = mapped_column({arguments}index=True)
"""
INSERT = (
    "INSERT INTO item (id, name, size, version, created_at, updated_at)"
    " VALUES ('01890000000070008000000000000000', 'Lamp', 5, 1, '2026-01-01', '2026-01-01')"
)


def write(made: Project, expression: str | None) -> None:
    arguments = f"Computed({expression!r}, persisted=True), " if expression else ""
    models = made.path / "app/modules/item/models.py"
    models.write_text(MODEL.format(arguments=arguments), "utf-8")


def test_changed_computed_columns_are_replaced(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    with made.server() as url:
        # With the table, because SQLite cannot add a stored column to one.
        write(made, "size * 2")
        made.run("nox", "-s", "initial", DATABASE_URL=url)
        made.python("-c", ALEMBIC, "upgrade head", "check", DATABASE_URL=url)
        made.sql(url, INSERT)
        assert made.sql(url, "SELECT total FROM item") == [[10]]
        write(made, "size*3")
        made.python("-c", ALEMBIC, "check", DATABASE_URL=url, status=255)
        changed = migrate(made, url, "change")
        assert changed.count("drop_column") == changed.count("add_column") == 2
        assert made.sql(url, "SELECT total FROM item") == [[15]]
        write(made, None)
        migrate(made, url, "store")
        assert made.sql(url, "SELECT total FROM item") == [[None]]
