"""How the server stores models: in its own spelling of types, defaults and expressions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Column, Connection, Constraint, Dialect, Index, MetaData, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import ObjectKind, ObjectScope

from app.core.migrations.temporary_tables import read_back

Named = TypeVar("Named", bound=Constraint | Index)


@dataclass(frozen=True)
class StoredModel:
    """What the server stores of a model, without what it rejects."""

    columns: dict[str, ReflectedColumn] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    """The expressions of CHECK constraints, by name."""


_models: WeakKeyDictionary[AutogenContext, dict[str, StoredModel]] = WeakKeyDictionary()


def stored_model(context: AutogenContext, table: Table) -> StoredModel:
    """Return what the server stores of a model; it is asked once for each context.

    Raises DBAPIError if the database user may not create temporary tables.
    """
    assert context.connection is not None  # noqa: S101
    if context not in _models:
        # All models at once, because reading them one by one takes several times as long.
        models = context.table_key_to_table.values()
        tables = {f"_stored_model_{number}": model for number, model in enumerate(models)}
        found = read_back(context.connection, tables, _read)
        _models[context] = {tables[name].key: model for name, model in found.items()}
    stored = _models[context]
    if table.key not in stored:
        stored[table.key] = _read_columns(context.connection, table)
    return stored[table.key]


def by_stored_name(items: Iterable[Named], dialect: Dialect) -> dict[str, Named]:
    """Return constraints or indexes of a model by the names that the database gives them.

    Names that are too long are shortened; items without a name are left out.
    """
    format_name = dialect.identifier_preparer.format_constraint
    # Unquoted; the argument exists for Alembic.
    named = {format_name(item, False): item for item in items}
    return {name: item for name, item in named.items() if name}


def _read_columns(connection: Connection, table: Table) -> StoredModel:
    """Return those columns of a rejected model that the server accepts, one by one.

    Without constraints and computed columns, which need others.
    """
    tables = {}
    columns = (column for column in table.columns if column.computed is None)
    for number, column in enumerate(columns):
        default = getattr(column.server_default, "arg", None)
        copy = Column(column.name, column.type, server_default=default)
        tables[f"_stored_column_{number}"] = Table(table.name, MetaData(), copy)
    models = read_back(connection, tables, _read).values()
    return StoredModel(dict(chain.from_iterable(model.columns.items() for model in models)))


def _read(connection: Connection, tables: Mapping[str, Table]) -> dict[str, StoredModel]:
    options: Any = {"filter_names": tables, "kind": ObjectKind.ANY, "scope": ObjectScope.ANY}
    inspector = inspect(connection)
    columns = inspector.get_multi_columns(**options)
    checks = inspector.get_multi_check_constraints(**options)
    return {
        name: StoredModel(
            {column["name"]: column for column in columns[None, name]},
            {str(check["name"]): check["sqltext"] for check in checks[None, name]},
        )
        for name in tables
    }
