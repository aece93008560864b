"""Identity columns of PostgreSQL: added, removed and changed, both ways, without losing count."""

from collections.abc import Callable

import pytest

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC, migrate

MODELS = """
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Integer, SmallInteger, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))


def table(name: str, *items: Any, kind: type[Integer] = Integer, **options: Any) -> None:
    Table(name, Base.metadata, Column("number", kind, *items, **options), Column("text", String(9)))


"""
ALL = "start=7, increment=2, minvalue=-3, maxvalue=1000, cache=5, cycle=True, always=True"
KEY = ", primary_key=True"
# The column of each table before and after.
CHANGES = {
    "added": (", nullable=False", ", Identity(start=3)"),
    "nullable": (", nullable=True", ", Identity(always=True)"),
    "Not Numbered": (", nullable=False", ", Identity()"),
    "down": (", nullable=False", ", Identity(increment=-1)"),
    "serial": (KEY, f", Identity(){KEY}"),
    "unserial": (f", Identity(){KEY}", KEY),
    "defaulted": (', server_default="5", nullable=False', ", Identity()"),
    "undefaulted": (", Identity()", ', server_default="5", nullable=False'),
    "removed": (f", Identity({ALL})", ", nullable=False"),
    "always": (", Identity()", ", Identity(always=True)"),
    "options": (", Identity()", f", Identity({ALL})"),
    "fewer": (f", Identity({ALL})", ", Identity()"),
    "wider": (", Identity()", ", Identity(), kind=BigInteger"),
    "same": (f", Identity({ALL}), kind=SmallInteger", f", Identity({ALL}), kind=SmallInteger"),
}
COLUMNS = """SELECT table_name, column_default, is_nullable, is_identity, identity_generation,
identity_start, identity_increment, identity_minimum, identity_maximum, identity_cycle
FROM information_schema.columns WHERE column_name = 'number' ORDER BY table_name"""


def models(index: int) -> str:
    tables = (f'table("{name}"{change[index]})\n' for name, change in CHANGES.items())
    return MODELS + "".join(tables)


@pytest.mark.database("postgresql")
def test_identity_columns_are_migrated_both_ways(project: Callable[..., Project]) -> None:
    made = project("postgresql")
    file = made.path / "app/modules/item/models.py"
    with made.server() as url:
        file.write_text(models(0), "utf-8")
        migrate(made, url, "before")
        before = made.sql(url, COLUMNS)
        rows = [f'INSERT INTO "{name}" (number) VALUES (8)' for name in ("added", "serial")]
        made.sql(url, *rows, 'INSERT INTO "Not Numbered" (number) VALUES (8)')

        file.write_text(models(1), "utf-8")
        code = migrate(made, url, "after")
        assert '"same"' not in code
        assert "alter_column" in code
        for name in ("added", "serial", "Not Numbered"):
            insert = f"INSERT INTO \"{name}\" (text) VALUES ('next') RETURNING number"
            assert made.sql(url, insert) == [[9]], name
        made.python("-c", ALEMBIC, "downgrade -1", DATABASE_URL=url)
        assert made.sql(url, COLUMNS) == before
        next_number = "INSERT INTO serial (text) VALUES ('last') RETURNING number"
        assert made.sql(url, next_number) == [[10]]
    made.run("ruff", "check", "alembic")
    made.run("ruff", "format", "--check", "alembic")
