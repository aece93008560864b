"""The code of each column type runs, imports what it needs, and creates the same column."""

from enum import StrEnum
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql

from app.core.dialect import DIALECT
from app.core.migrations.column_types import render_item

OTHER_DATABASE = {"postgresql": "mysql"}.get(DIALECT.name, "postgresql")


class Code(types.TypeDecorator[str]):
    impl = sa.String
    cache_ok = True

    def __init__(self, length: int, prefix: str) -> None:
        super().__init__(length)
        self.prefix = prefix


class Document(types.TypeDecorator[Any]):
    impl = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    cache_ok = True


class Size(StrEnum):
    SMALL = "small"


class Point(types.UserDefinedType[str]):
    cache_ok = True

    def __init__(self, dimensions: int = 2) -> None:
        self.dimensions = dimensions

    def get_col_spec(self, **_: Any) -> str:
        return f"POINT({self.dimensions})"


class Box(types.UserDefinedType[str]):
    cache_ok = True

    def __init__(self, size: int) -> None:
        self._size = size

    def __repr__(self) -> str:
        return f"Box({self._size})"

    def get_col_spec(self, **_: Any) -> str:
        return f"BOX({self._size})"


class Pair(types.UserDefinedType[str]):
    cache_ok = True

    def __init__(self, item_type: types.TypeEngine[Any]) -> None:
        self.item_type = item_type

    def get_col_spec(self, **_: Any) -> str:
        return f"PAIR({self.item_type.compile(dialect=DIALECT)})"


JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ENUM = sa.Enum("a+", "(b", "[c", "d\\d", "e'", 'f"', name="letter", native_enum=False, length=9)
TYPES: dict[str, types.TypeEngine[Any]] = {
    "variants": JSON.with_variant(mysql.LONGTEXT(), "mysql", "mariadb"),
    "variant of another database": sa.String(5).with_variant(sa.Text(), OTHER_DATABASE),
    "variant": sa.Text().with_variant(Code(5, "x"), DIALECT.name),
    "decorator": Code(9, prefix="x"),
    "decorator with variants": Document(),
    "variant of a decorator": Document().with_variant(sa.String(3), DIALECT.name),
    "enum": ENUM,
    "pickle": types.PickleType(),
    "pickle as text": types.PickleType(impl=sa.Text()),
    "interval": types.Interval(),
    "custom": Point(3),
    "custom with a repr": Box(3),
    "custom with a nested type": Pair(ENUM),
    "custom with a decorator": Pair(Code(4, "x")),
    "custom with variants": Pair(JSON),
}
NESTED: dict[str, tuple[types.TypeEngine[Any], str]] = {
    "array": (sa.ARRAY(sa.String(5)), "sa.ARRAY(sa.String(length=5))"),
    "array of a decorator": (sa.ARRAY(Code(5, "x")), "sa.ARRAY(sa.String(length=5))"),
    "array of custom types": (sa.ARRAY(Point(3)), f"sa.ARRAY({__name__}.Point(dimensions=3))"),
    "array of enums": (
        postgresql.ARRAY(ENUM, dimensions=2),
        f"postgresql.ARRAY(sa.{ENUM!r}, dimensions=2)",
    ),
    "jsonb": (
        postgresql.JSONB(none_as_null=True),
        "postgresql.JSONB(none_as_null=True, astext_type=sa.Text())",
    ),
}


def autogenerate_context() -> AutogenContext:
    options = {
        "render_item": render_item,
        "sqlalchemy_module_prefix": "sa.",
        "user_module_prefix": None,
        "target_metadata": sa.MetaData(),
    }
    migration_context = MigrationContext.configure(dialect=DIALECT, opts=options)
    return AutogenContext(migration_context, autogenerate=False)


def rendered(kind: types.TypeEngine[Any]) -> tuple[str, types.TypeEngine[Any]]:
    """Return the code of a type, and what it evaluates to in a revision."""
    context = autogenerate_context()
    code = render._repr_type(kind, context)
    names: dict[str, Any] = {}
    exec("\n".join(["import sqlalchemy as sa", *context.imports]), names)  # noqa: S102
    return code, eval(code, names)  # noqa: S307


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_rendered_types_create_the_same_column(kind: types.TypeEngine[Any]) -> None:
    _, evaluated = rendered(kind)
    assert evaluated.compile(dialect=DIALECT) == kind.compile(dialect=DIALECT)


@pytest.mark.parametrize(("kind", "expected"), NESTED.values(), ids=NESTED)
def test_nested_types_are_rendered_with_their_imports(
    kind: types.TypeEngine[Any], expected: str
) -> None:
    code, evaluated = rendered(kind)
    assert code == expected
    assert rendered(evaluated)[0] == expected


def test_a_decorator_is_rendered_as_the_type_that_it_wraps() -> None:
    assert rendered(Code(9, prefix="x"))[0] == "sa.String(length=9)"


def test_only_the_variant_of_the_own_database_is_rendered() -> None:
    assert rendered(TYPES["variant of another database"])[0] == "sa.String(length=5)"
    own = sa.String(5).with_variant(sa.Text(), DIALECT.name)
    assert rendered(own)[0] == "sa.Text()"


@pytest.mark.parametrize("text", ["'quoted'", "it's", "plain", ""])
def test_default_text_keeps_its_quotes(text: str) -> None:
    default = sa.DefaultClause(text)
    assert render._render_server_default(default, autogenerate_context()) == repr(text)


def test_a_default_that_is_a_string_enum_is_rendered_as_its_value() -> None:
    default = sa.DefaultClause(Size.SMALL)
    assert render._render_server_default(default, autogenerate_context()) == "'small'"
