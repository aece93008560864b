"""Every column type that a generated revision writes runs, and is clean in the next check."""

import re
from collections.abc import Callable

import pytest

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC

STORED = """
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, UserDefinedType


class Code(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def __init__(self, length: int, prefix: str) -> None:
        super().__init__(length)
        self.prefix = prefix


class Document(TypeDecorator[Any]):
    impl = JSON().with_variant(JSONB(), "postgresql")
    cache_ok = True


class Label(UserDefinedType[str]):
    cache_ok = True

    def __init__(self, length: int = 10) -> None:
        self.length = length

    def get_col_spec(self, **_: Any) -> str:
        return f"VARCHAR({self.length})"
"""

MODELS = """
from datetime import timedelta
from enum import Enum as PythonEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned
from app.modules.item.stored import Code, Document, Label


class Colour(PythonEnum):
    RED = "red (dark)"
    BLUE = "blue [light] + \\\\d"


def values(kind: type[PythonEnum]) -> list[str]:
    return [member.value for member in kind]


COLOUR = sa.Enum(Colour, name="colour", native_enum=False, length=40, values_callable=values)
VARIANTS = (
    sa.JSON()
    .with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    .with_variant(sqlite.JSON(), "sqlite")
)


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(sa.String(200), index=True)
    description: Mapped[str | None] = mapped_column(sa.String(2000))


class Typed(Base):
    __tablename__ = "typed"

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True
    )
    json: Mapped[Any] = mapped_column(sa.JSON().with_variant(postgresql.JSONB(), "postgresql"))
    variants: Mapped[Any] = mapped_column(VARIANTS)
    mutable: Mapped[Any] = mapped_column(MutableDict.as_mutable(VARIANTS))
    text: Mapped[str] = mapped_column(
        sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    )
    code: Mapped[str] = mapped_column(Code(9, prefix="x"))
    coded: Mapped[str] = mapped_column(sa.Text().with_variant(Code(7, "x"), "mysql", "mariadb"))
    document: Mapped[Any] = mapped_column(Document)
    label: Mapped[str] = mapped_column(Label(20))
    pickle: Mapped[Any] = mapped_column(sa.PickleType)
    lasted: Mapped[timedelta] = mapped_column(sa.Interval)
    colour: Mapped[Colour] = mapped_column(COLOUR)
"""

OWN = {
    "postgresql": """
    colours: Mapped[list[Colour]] = mapped_column(postgresql.ARRAY(COLOUR))
    letters: Mapped[list[str]] = mapped_column(sa.ARRAY(COLOUR, dimensions=2))
    codes: Mapped[list[str]] = mapped_column(sa.ARRAY(Code(5, "x")))
    documents: Mapped[list[Any]] = mapped_column(postgresql.ARRAY(Document))
    labels: Mapped[list[str]] = mapped_column(postgresql.ARRAY(Label(6)))
    jsonb: Mapped[Any] = mapped_column(postgresql.JSONB(none_as_null=True))
    inet: Mapped[str] = mapped_column(postgresql.INET)
    search: Mapped[str] = mapped_column(postgresql.TSVECTOR)
    period: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)
    bits: Mapped[str] = mapped_column(postgresql.BIT(4, varying=True))
    duration: Mapped[Any] = mapped_column(postgresql.INTERVAL(precision=3))
    at: Mapped[Any] = mapped_column(postgresql.TIMESTAMP(timezone=True, precision=3))
""",
    "mysql": """
    size: Mapped[int] = mapped_column(mysql.INTEGER(unsigned=True))
    medium: Mapped[str] = mapped_column(mysql.MEDIUMTEXT)
    options: Mapped[Any] = mapped_column(mysql.SET("a", "b"))
    native: Mapped[str] = mapped_column(mysql.ENUM("a [b", "c+"))
    year: Mapped[int] = mapped_column(mysql.YEAR)
    at: Mapped[Any] = mapped_column(mysql.DATETIME(fsp=6))
""",
    "sqlite": """
    jsonb: Mapped[Any] = mapped_column(sa.JSON().with_variant(postgresql.JSONB(), "postgresql"))
    at: Mapped[Any] = mapped_column(sqlite.DATETIME(truncate_microseconds=True))
""",
}
CHANGED = {
    'Code(9, prefix="x")': 'Code(12, prefix="y")',
    'Code(5, "x")': 'Code(8, "x")',
    "Label(20)": "Label(30)",
}


@pytest.fixture
def typed(project: Callable[..., Project], database: str) -> Project:
    made = project(database)
    folder = made.path / "app/modules/item"
    (folder / "stored.py").write_text(STORED, "utf-8")
    (folder / "models.py").write_text(MODELS + OWN[database], "utf-8")
    return made


def test_every_type_of_a_generated_revision_runs(typed: Project, database: str) -> None:
    models = typed.path / "app/modules/item/models.py"
    again = ("upgrade head", "check", "downgrade -1", "upgrade head", "check")
    with typed.server() as url:
        commands = ["upgrade head", "revision --autogenerate -m types", *again]
        typed.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
        code = models.read_text("utf-8")
        for old, new in CHANGED.items():
            code = code.replace(old, new)
        models.write_text(code, "utf-8")
        commands = ["revision --autogenerate -m changed", *again]
        typed.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
        commands = ["downgrade base", "upgrade head", "check"]
        typed.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
    typed.run("ruff", "check", "alembic")
    typed.run("ruff", "format", "--check", "alembic")
    [types, changed] = [
        next((typed.path / "alembic/versions").glob(f"2*_{name}.py")).read_text("utf-8")
        for name in ("types", "changed")
    ]
    # Only the type without a built-in one behind it needs application code.
    assert re.findall("^import (app.*)", types, re.MULTILINE) == ["app.modules.item.stored"]
    assert "with_variant" not in types
    assert ("postgresql" in types) == (database == "postgresql")
    for name in ("code", "label"):
        assert f'"{name}"' in changed
