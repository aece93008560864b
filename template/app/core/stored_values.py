"""After a flush, entities have the values that the database stored, as a later read returns them.

A column can change a value: `Numeric(12, 2)` stores 1 as 1.00, JSONB reorders keys. Values that may
have changed are read back in the same transaction; others cost nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, time
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    FetchedValue,
    Select,
    bindparam,
    event,
    inspect,
    select,
    tuple_,
    types,
)
from sqlalchemy.orm import InstanceState, Mapper, Session, UOWTransaction
from sqlalchemy.orm.attributes import set_committed_value

from app.core.dialect import DIALECT

# Returns whether a column stores a value unchanged.
Check: TypeAlias = Callable[[Any], bool]

# Maximum rows per statement: databases limit the number of parameters.
MAX_ROWS = 1000
# Digits that a float holds exactly: SQLite stores decimals as floats.
FLOAT_DIGITS = 15
EXACT = (types.Boolean, types.Enum, types.Integer, types.LargeBinary, types.String, types.Uuid)


@event.listens_for(Session, "after_flush")
def read_back(session: Session, context: UOWTransaction) -> None:
    """Set the attributes of flushed entities to the values that were stored."""
    found: defaultdict[tuple[Mapper[Any], tuple[str, ...]], list[Any]] = defaultdict(list)
    for entity in (*session.new, *session.dirty):
        state: InstanceState[Any] = inspect(entity)
        if names := _possibly_changed(state):
            found[state.mapper, tuple(names)].append(state)
    for (mapper, attributes), states in found.items():
        for start in range(0, len(states), MAX_ROWS):
            _read(session, context, mapper, attributes, states[start : start + MAX_ROWS])


def _possibly_changed(state: InstanceState[Any]) -> list[str]:
    """Return the attributes that were set to a value that the column may change."""
    values = state.dict
    names = [
        name
        for name, check in _checks(state.mapper)
        if (value := values.get(name)) is not None and not check(value)
    ]
    if not names or state.pending:
        return names
    # Those that were set, even to an equal value, such as 1 for 1.00, or by a default.
    columns, unmodified = state.mapper.columns, state.unmodified
    return [name for name in names if name not in unmodified or columns[name].onupdate is not None]


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


@cache
def _checks(mapper: Mapper[Any]) -> list[tuple[str, Check]]:
    columns = {one.key: one.columns[0] for one in mapper.column_attrs}
    checks = {
        name: _column_check(column)
        for name, column in columns.items()
        if isinstance(column, Column)
    }
    return [(name, check) for name, check in checks.items() if check]


def _column_check(column: Column[Any]) -> Check | None:
    """Return the check of a column, or None if it stores all values unchanged.

    A custom type may have a method `stores_unchanged`; without one, every value may change.
    """
    if type(column.server_default) is FetchedValue:
        # A trigger: https://docs.sqlalchemy.org/en/21/core/defaults.html#triggered-columns
        return _never
    if isinstance(column.type, types.TypeDecorator):
        own: Check = getattr(column.type, "stores_unchanged", _never)
        return own
    return _type_check(column.type.dialect_impl(DIALECT))


def _type_check(kind: types.TypeEngine[Any]) -> Check | None:
    match kind:
        case types.CHAR() | types.NCHAR():
            # Padded, or stripped.
            return _never
        case _ if isinstance(kind, EXACT):
            return None
        case types.Date() | types.Double():
            expected = kind.python_type
            return lambda value: type(value) is expected
        case types.Float():
            return _is_float if _is_double(kind) else _never
        case types.Numeric(scale=int(), asdecimal=True):
            return lambda value: _has_scale(value, kind.scale)
        case types.DateTime(timezone=False) | types.Time(timezone=False):
            return _has_whole_seconds
    return _never


def _never(_value: object) -> bool:
    return False


def _is_float(value: object) -> bool:
    return type(value) is float


def _is_double(kind: types.Float[Any]) -> bool:
    return DIALECT.name != "mysql" and kind.precision is None and not isinstance(kind, types.REAL)


def _has_scale(value: Any, scale: int | None) -> bool:
    if type(value) is not Decimal:
        return False
    sign, digits, exponent = value.as_tuple()
    return exponent == -(scale or 0) and len(digits) <= FLOAT_DIGITS and bool(value or not sign)


def _has_whole_seconds(value: Any) -> bool:
    return type(value) in {datetime, time} and value.microsecond == 0 and value.tzinfo is None
