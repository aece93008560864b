"""Which values a column's type stores unchanged."""

from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import (
    CHAR,
    NCHAR,
    REAL,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    FetchedValue,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Time,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.types import TypeEngine

Check: TypeAlias = Callable[[Any], bool]

# Digits that a float holds exactly: SQLite stores decimals as floats.
FLOAT_DIGITS = 15


def check_for(column: Column[Any], dialect: Dialect) -> Check | None:
    """Return a check for whether a column stores a value, other than None, unchanged.

    Return None if the column stores every value unchanged.

    A custom type decides with a method `stores_unchanged`; without one, every value may change.
    """
    if type(column.server_default) is FetchedValue:
        # A trigger: https://docs.sqlalchemy.org/en/21/core/defaults.html#triggered-columns
        return _never
    if isinstance(column.type, TypeDecorator):
        own: Check = getattr(column.type, "stores_unchanged", _never)
        return own
    return _check(column.type.dialect_impl(dialect), dialect)


def _check(kind: TypeEngine[Any], dialect: Dialect) -> Check | None:
    match kind:
        case CHAR() | NCHAR():
            # Padded, or stripped.
            return _never
        case Boolean() | Enum() | Integer() | LargeBinary() | String() | Uuid():
            return None
        case Date() | Double():
            return _has_type(kind.python_type)
        case Float():
            return _has_type(float) if _is_double(kind, dialect) else _never
        case Numeric(scale=int(), asdecimal=True):
            return lambda value: _has_scale(value, kind.scale)
        case DateTime(timezone=False) | Time(timezone=False):
            return _has_whole_seconds
    return _never


def _never(_value: object) -> bool:
    return False


def _has_type(kind: type[Any]) -> Check:
    return lambda value: type(value) is kind


def _is_double(kind: Float[Any], dialect: Dialect) -> bool:
    return dialect.name != "mysql" and kind.precision is None and not isinstance(kind, REAL)


def _has_scale(value: Any, scale: int | None) -> bool:
    if type(value) is not Decimal:
        return False
    sign, digits, exponent = value.as_tuple()
    return exponent == -(scale or 0) and len(digits) <= FLOAT_DIGITS and bool(value or not sign)


def _has_whole_seconds(value: Any) -> bool:
    return type(value) in {datetime, time} and value.microsecond == 0 and value.tzinfo is None
