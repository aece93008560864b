"""The types that columns store below their TypeDecorators, and how cursors encode them."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy import BigInteger, Enum, Float, Interval, Numeric, SmallInteger
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core.dialect import DIALECT
from app.core.schemas import storable

SORTABLE = {bool, date, datetime, Decimal, float, int, str, time, timedelta, UUID}
POSTGRESQL, MYSQL = (DIALECT.name == name for name in ("postgresql", "mysql"))
# MySQL's FLOAT has 32 bits up to this precision.
SINGLE_PRECISION = 24


def below_decorators(
    column_type: TypeEngine[Any],
) -> tuple[TypeEngine[Any], list[TypeDecorator[Any]]]:
    """Return the type that the database compares by, and the decorators around it, outer first."""
    decorators = []
    stored = column_type.dialect_impl(DIALECT)
    # SQLAlchemy's own Interval is a decorator only for databases without such a type.
    while isinstance(stored, TypeDecorator) and not isinstance(stored, Interval):
        decorators.append(stored)
        stored = stored.impl_instance
    return stored, decorators


def conversions_of(
    stored: TypeEngine[Any], decorators: Sequence[TypeDecorator[Any]]
) -> tuple[Callable[[Any], Any], ...]:
    """Return the conversions of an attribute's value to the stored one, in the order to apply."""
    processor = _processor(stored) if isinstance(stored, Enum) else None
    return (*map(_bind, decorators), *([processor] if processor else []))


def _bind(decorator: TypeDecorator[Any]) -> Callable[[Any], Any]:
    if type(decorator).process_bind_param is TypeDecorator.process_bind_param:
        return lambda value: value
    return lambda value: decorator.process_bind_param(value, DIALECT)


def stored_kind(stored: TypeEngine[Any]) -> Any:
    """Return the type as which Pydantic validates stored values.

    Raises TypeError for a type that a cursor cannot encode, or that the server compares differently
    from how it sorts it.
    """
    return Annotated[_kind(stored), AfterValidator(_bindable(stored))]


def _kind(stored: TypeEngine[Any]) -> Any:
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
        return Annotated[kind, AfterValidator(_aware if with_zone else _naive)]
    return Annotated[kind, *_limits(stored), AfterValidator(storable)]


def _is_single_precision(stored: Float[Any]) -> bool:
    spelling = stored.compile(DIALECT)
    return spelling.startswith("FLOAT") and (stored.precision or 0) <= SINGLE_PRECISION


def _limits(stored: TypeEngine[Any]) -> list[Any]:
    """Return the limits beyond which PostgreSQL refuses even to compare."""
    if POSTGRESQL and stored.python_type is int:
        sizes = {SmallInteger: 15, BigInteger: 63}
        bits = next((bits for size, bits in sizes.items() if isinstance(stored, size)), 31)
        return [Field(ge=-(2**bits), lt=2**bits)]
    if POSTGRESQL and isinstance(stored, Numeric) and stored.precision is not None:
        return [Field(max_digits=stored.precision, decimal_places=stored.scale or 0)]
    return []


def _aware(value: Any) -> Any:
    if value.tzinfo is None:
        raise ValueError("the time zone is missing")
    return storable(value)


def _naive(value: Any) -> Any:
    if value.tzinfo is not None:
        raise ValueError("no time zone is stored")
    return value


def _bindable(stored: TypeEngine[Any]) -> Callable[[Any], Any]:
    processor = _processor(stored)

    def check(value: Any) -> Any:
        try:
            if processor is not None:
                processor(value)
        except OverflowError as error:
            raise ValueError(str(error)) from None
        return value

    return check


def _processor(stored: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    processor: Callable[[Any], Any] | None = stored.bind_processor(DIALECT)
    return processor
