"""How autogenerate writes column types: as the project's database stores them, in code that runs.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
"""

import sys
from copy import copy
from typing import Any, Literal

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import DefaultClause, Dialect, Interval
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlalchemy.util import get_cls_kwargs, immutabledict


class _Placeholder(str):
    """What stands for a nested type in the code of the type around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Return the code of a column type or of a default text, or False to let Alembic render it.

    A TypeDecorator is rendered as the type that it wraps, so that revisions do not depend on
    application code; for other custom types, an import is added to the revision.
    """
    if kind == "server_default" and isinstance(item, DefaultClause) and isinstance(item.arg, str):
        # Alembic removes quotes at the ends of the text. Of a string enum, the value.
        return repr(str.__str__(item.arg))
    if kind != "type" or context.dialect is None:
        return False
    if isinstance(item, _Placeholder):
        return str(item)
    if (stored := stored_type(item, context.dialect)) is not item:
        return render._repr_type(stored, context)
    if getattr(item, "native_enum", False) and getattr(item, "create_type", False):
        # A downgrade that creates a table must not create its native enum, which was not dropped.
        item = copy(item)
        item.create_type = False
        return render._repr_type(item, context)
    if nested := _nested_types(item):
        return _render_around(item, nested, context)
    if not (module := type(item).__module__).startswith("sqlalchemy."):
        context.imports.add(f"import {module}")
    return False


def stored_type(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return the type that a database stores: its own variant, and no TypeDecorator around it.

    Alembic also writes the variants of other databases, without the imports that they need.
    """
    if dialect.name in kind._variant_mapping:
        return stored_type(kind._variant_mapping[dialect.name], dialect)
    # Interval is a TypeDecorator only where the database has no such type.
    if isinstance(kind, TypeDecorator) and not isinstance(kind, Interval):
        return stored_type(kind.load_dialect_impl(dialect), dialect)
    if kind._variant_mapping:
        kind = copy(kind)
        kind._variant_mapping = immutabledict()
    return _public_type(kind)


def _public_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that a driver's private subclass extends: one that can be imported."""
    if not type(kind).__module__.startswith("sqlalchemy."):
        return kind
    for cls in type(kind).__mro__:
        package = sys.modules[".".join(cls.__module__.split(".")[:3])]
        if hasattr(package, cls.__name__):
            return kind if cls is type(kind) else kind.adapt(cls)
    return kind


def _nested_types(kind: TypeEngine[Any]) -> dict[str, TypeEngine[Any]]:
    """Return the types that are arguments of a type, such as an ARRAY, by name."""
    if isinstance(kind, TypeDecorator):
        return {}
    arguments = {name: getattr(kind, name, None) for name in get_cls_kwargs(type(kind))}
    return {name: value for name, value in arguments.items() if isinstance(value, TypeEngine)}


def _render_around(
    kind: TypeEngine[Any], nested: dict[str, TypeEngine[Any]], context: AutogenContext
) -> str:
    """Return the code of a type with nested types.

    Alembic renders them with some types only, and searches for their repr as a regular expression,
    which the values of an enum may break: https://github.com/sqlalchemy/alembic/issues/531
    """
    outer = copy(kind)
    placeholders = {name: _Placeholder(f"__{name}__") for name in nested}
    vars(outer).update(placeholders)
    code = render._repr_type(outer, context)
    for name, placeholder in placeholders.items():
        code = code.replace(placeholder, render._repr_type(nested[name], context))
    return code
