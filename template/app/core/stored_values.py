"""After a flush, entities have the stored values, as a later read returns them.

A column can change a value: `Numeric(12, 2)` stores 1 as 1.00, JSONB reorders keys. Values that may
have changed are read back in the same transaction; others cost nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, bindparam, event, inspect, select, tuple_
from sqlalchemy.orm import InstanceState, Mapper, Session, UOWTransaction
from sqlalchemy.orm.attributes import set_committed_value

from app.core.unchanged_types import Check, check_for

# Maximum rows per statement: databases limit the number of parameters.
ROWS = 1000
CHECKS: dict[Mapper[Any], list[tuple[str, Check]]] = {}


@event.listens_for(Session, "after_flush")
def read_back(session: Session, context: UOWTransaction) -> None:
    """Set the attributes of flushed entities to the values that were stored."""
    found: defaultdict[tuple[Mapper[Any], tuple[str, ...]], list[Any]] = defaultdict(list)
    for entity in (*session.new, *session.dirty):
        state: InstanceState[Any] = inspect(entity)
        if names := _uncertain(session, state):
            found[state.mapper, tuple(names)].append(state)
    for (mapper, attributes), states in found.items():
        for start in range(0, len(states), ROWS):
            _read(session, context, mapper, attributes, states[start : start + ROWS])


def _uncertain(session: Session, state: InstanceState[Any]) -> list[str]:
    """Return the attributes that were set to a value that the column may change."""
    checks = CHECKS.get(state.mapper)
    if checks is None:
        checks = CHECKS[state.mapper] = _checks(session, state.mapper)
    values = state.dict
    names = [
        name
        for name, check in checks
        if (value := values.get(name)) is not None and not check(value)
    ]
    if not names or state.pending:
        return names
    # Those that were set, even to an equal value, such as 1 for 1.00, or by a default.
    columns, unmodified = state.mapper.columns, state.unmodified
    return [name for name in names if name not in unmodified or columns[name].onupdate is not None]


def _checks(session: Session, mapper: Mapper[Any]) -> list[tuple[str, Check]]:
    """Return the checks of column attributes for whether a value is stored unchanged."""
    dialect = session.get_bind(mapper).dialect
    columns = {one.key: one.columns[0] for one in mapper.column_attrs}
    checks = {
        name: check_for(column, dialect)
        for name, column in columns.items()
        if isinstance(column, Column)
    }
    return [(name, check) for name, check in checks.items() if check]


def _read(
    session: Session,
    context: UOWTransaction,
    mapper: Mapper[Any],
    names: tuple[str, ...],
    states: Sequence[InstanceState[Any]],
) -> None:
    keys = [tuple(mapper.primary_key_from_instance(state.obj())) for state in states]
    connection = session.connection(bind_arguments={"mapper": mapper})
    size = len(mapper.primary_key)
    wanted = keys if size > 1 else [key for (key,) in keys]
    rows = connection.execute(_statement(mapper, names), {"keys": wanted})
    stored = {tuple(row[:size]): row[size:] for row in rows}
    for state, key in zip(states, keys, strict=True):
        if key in stored:
            for name, value in zip(names, stored[key], strict=True):
                set_committed_value(state.obj(), name, value)
            # As for defaults: https://docs.sqlalchemy.org/en/21/orm/extensions/mutable.html
            mapper.class_manager.dispatch.refresh_flush(state, context, names)


@cache
def _statement(mapper: Mapper[Any], names: tuple[str, ...]) -> Select[Any]:
    key = mapper.primary_key
    one: Any = tuple_(*key) if len(key) > 1 else key[0]
    columns = [*key, *(mapper.columns[name] for name in names)]
    statement = select(*columns).select_from(mapper.selectable)
    return statement.where(one.in_(bindparam("keys", expanding=True)))
