"""How the server stores models: in its own spelling of types, defaults and expressions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import CheckConstraint, ClauseElement, Connection, Dialect, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import ObjectKind, ObjectScope

from app.core.migrations.temporary_tables import copy_table, read_back, split_columns


@dataclass(frozen=True)
class StoredModel:
    """What the server stores of a model, without what it rejects."""

    columns: dict[str, ReflectedColumn] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    """The expressions of CHECK constraints, by what `sql_text` returns for those of the model."""


_models: WeakKeyDictionary[AutogenContext, dict[str, StoredModel | None]] = WeakKeyDictionary()


def stored_model(context: AutogenContext, table: Table) -> StoredModel:
    """Return what the server stores of a model; it is asked once for each context.

    Raises DBAPIError if the database user may not create temporary tables.
    """
    assert context.connection is not None  # noqa: S101
    if context not in _models:
        # All models at once, because reading them one by one takes several times as long.
        tables = context.table_key_to_table
        copies = [copy_table(one, f"_stored_model_{n}") for n, one in enumerate(tables.values())]
        found = read_back(context.connection, copies, _read)
        _models[context] = dict(zip(tables, found, strict=True))
    if (model := _models[context][table.key]) is None:
        model = _models[context][table.key] = _read_columns(context.connection, table)
    return model


def created_checks(table: Table, dialect: Dialect) -> list[CheckConstraint]:
    """Return the constraints of a model, its columns and types, except what is not created."""
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]
    found = chain(table.constraints, *(column.constraints for column in table.columns))
    constraints = [one for one in found if isinstance(one, CheckConstraint)]
    # A database with a type for booleans needs no constraint of Boolean.
    return [one for one in constraints if one._should_create_for_compiler(compiler)]


def sql_text(expression: ClauseElement, dialect: Dialect) -> str:
    """Return an expression of a constraint or a column as SQLAlchemy writes it."""
    options = {"include_table": False, "literal_binds": True}
    return str(expression.compile(dialect=dialect, compile_kwargs=options))


def _read_columns(connection: Connection, table: Table) -> StoredModel:
    """Return those columns of a rejected model that the server accepts."""
    models = filter(None, read_back(connection, split_columns(table), _read))
    return StoredModel(dict(chain.from_iterable(model.columns.items() for model in models)))


def _read(connection: Connection, tables: Sequence[Table]) -> list[StoredModel]:
    names = [table.name for table in tables]
    options: Any = {"filter_names": names, "kind": ObjectKind.ANY, "scope": ObjectScope.ANY}
    inspector = inspect(connection)
    columns = inspector.get_multi_columns(**options)
    checks = inspector.get_multi_check_constraints(**options)
    models = []
    for table in tables:
        named = {one["name"]: one["sqltext"] for one in checks[None, table.name]}
        expressions = {
            sql_text(one.sqltext, connection.dialect): named[str(one.name)]
            for one in created_checks(table, connection.dialect)
            if str(one.name) in named
        }
        stored = {column["name"]: column for column in columns[None, table.name]}
        models.append(StoredModel(stored, expressions))
    return models
