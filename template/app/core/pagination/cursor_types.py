"""The types that columns store below their TypeDecorators, and how cursors encode them."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy import BigInteger, Enum, Float, Interval, Numeric, SmallInteger
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core.dialect import DIALECT
from app.core.schemas import check_storable

Convert: TypeAlias = Callable[[Any], Any]

SORTABLE = {bool, date, datetime, Decimal, float, int, str, time, timedelta, UUID}
POSTGRESQL, MYSQL = (DIALECT.name == name for name in ("postgresql", "mysql"))
# MySQL's FLOAT has 32 bits up to this precision.
SINGLE_PRECISION = 24


def stored_type(column_type: TypeEngine[Any]) -> tuple[TypeEngine[Any], tuple[Convert, ...]]:
    """Return the type that the database compares, and the conversions of values to it."""
    conversions: list[Convert] = []
    stored = column_type.dialect_impl(DIALECT)
    # SQLAlchemy's Interval is a TypeDecorator only for databases without such a type.
    while isinstance(stored, TypeDecorator) and not isinstance(stored, Interval):
        if type(stored).process_bind_param is not TypeDecorator.process_bind_param:
            conversions.append(partial(_bind, stored))
        stored = stored.impl_instance
    processor = stored.bind_processor(DIALECT)
    if processor and isinstance(stored, Enum):
        conversions.append(processor)
    return stored, tuple(conversions)


def _bind(decorator: TypeDecorator[Any], value: Any) -> Any:
    return decorator.process_bind_param(value, DIALECT)


def cursor_type(stored: TypeEngine[Any]) -> Any:
    """Return the type as which Pydantic validates stored values.

    Raises TypeError for a type that a cursor cannot encode, or that the database compares in
    another order than it sorts.
    """
    is_bindable = AfterValidator(partial(_check_bindable, stored.bind_processor(DIALECT)))
    return Annotated[_python_type(stored), is_bindable]


def _check_bindable(processor: Convert | None, value: Any) -> Any:
    if processor:
        try:
            processor(value)
        except OverflowError as error:
            raise ValueError(str(error)) from None
    return value


def _python_type(stored: TypeEngine[Any]) -> Any:
    if isinstance(stored, Enum):
        if MYSQL and stored.native_enum:
            raise TypeError(
                "MySQL compares a native ENUM as text, but sorts by number; pass native_enum=False"
            )
        return Literal[tuple(stored.enums)]
    kind = stored.python_type
    if kind not in SORTABLE:
        raise TypeError("a cursor cannot encode its values; sort by another column")
    if MYSQL and isinstance(stored, Float) and _is_single_precision(stored):
        raise TypeError("MySQL rounds what it returns, but not what it compares; use Double()")
    if kind in {datetime, time}:
        # Only PostgreSQL stores time zones.
        with_zone = POSTGRESQL and bool(getattr(stored, "timezone", False))
        return Annotated[kind, AfterValidator(_check_aware if with_zone else _check_naive)]
    return Annotated[kind, *_limits(stored), AfterValidator(check_storable)]


def _is_single_precision(stored: Float[Any]) -> bool:
    spelling = stored.compile(DIALECT)
    return spelling.startswith("FLOAT") and (stored.precision or 0) <= SINGLE_PRECISION


def _limits(stored: TypeEngine[Any]) -> list[Any]:
    """Return the limits beyond which PostgreSQL refuses to compare a value."""
    if POSTGRESQL and stored.python_type is int:
        sizes = {SmallInteger: 15, BigInteger: 63}
        bits = next((bits for size, bits in sizes.items() if isinstance(stored, size)), 31)
        return [Field(ge=-(2**bits), lt=2**bits)]
    if POSTGRESQL and isinstance(stored, Numeric) and stored.precision is not None:
        return [Field(max_digits=stored.precision, decimal_places=stored.scale or 0)]
    return []


def _check_aware(value: Any) -> Any:
    if value.tzinfo is None:
        raise ValueError("the time zone is missing")
    return check_storable(value)


def _check_naive(value: Any) -> Any:
    if value.tzinfo is not None:
        raise ValueError("the column stores no time zone")
    return value
