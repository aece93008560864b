"""Columns that pages are sorted by: which types a cursor can carry, and as which values."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy import BigInteger, Enum, Float, Interval, Numeric, SmallInteger
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from app.core.dialect import DIALECT
from app.core.models import Entity
from app.core.schemas import storable

SORTABLE = {bool, date, datetime, Decimal, float, int, str, time, timedelta, UUID}
POSTGRESQL, MYSQL = (DIALECT.name == name for name in ("postgresql", "mysql"))
# Up to which precision MySQL's FLOAT has 32 bits.
SINGLE_PRECISION = 24


@dataclass(frozen=True)
class SortColumn:
    """A column that pages are sorted by, and what it stores, below its TypeDecorators.

    What is stored is what the database compares, whatever class a TypeDecorator makes of it.
    """

    name: str
    column: Any
    type: TypeEngine[Any]
    kind: Any
    conversions: tuple[Callable[[Any], Any], ...]

    def stored(self, value: Any) -> Any:
        """Return what is stored for a value of the attribute."""
        for convert in self.conversions:
            value = convert(value)
        return value


@cache
def sort_columns(model: type[Entity], order: str) -> tuple[SortColumn, ...]:
    """Return the columns of an order: the one it names, after `-` if it descends, and the key.

    Raises TypeError for a column that is missing or nullable, or whose values no cursor can carry.
    """
    names = dict.fromkeys((order.removeprefix("-"), "id"))
    return tuple(_sort_column(name, find_column(model, name)) for name in names)


def find_column(model: type[Entity], name: str) -> Any:
    """Return the column of an attribute. Raises TypeError, with all names, if there is none."""
    columns = model.__mapper__.columns
    if name not in columns:
        known = ", ".join(sorted(columns.keys()))
        raise TypeError(f"{model.__name__} has no column {name!r}; its columns are: {known}")
    return columns[name]


def is_resolved(column: Any) -> bool:
    """Return whether the type is known, which a foreign key takes from a model imported later."""
    return not isinstance(column.type, NullType)


def _sort_column(name: str, column: Any) -> SortColumn:
    if getattr(column, "nullable", False):
        raise TypeError(
            f"{column} is nullable, and databases disagree on where NULL is sorted, so that pages"
            " would miss rows; make the column NOT NULL"
        )
    stored, decorators = _below_decorators(column.type)
    conversions = [_bind(decorator) for decorator in decorators]
    processor = _processor(stored)
    if isinstance(stored, Enum) and processor is not None:
        conversions.append(processor)
    try:
        kind: Any = Annotated[_kind(stored), AfterValidator(_bindable(stored))]
    except TypeError as error:
        raise TypeError(f"{column} has the type {column.type!r}: {error}") from None
    return SortColumn(name, column, stored, kind, tuple(conversions))


def _processor(stored: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    processor: Callable[[Any], Any] | None = stored.bind_processor(DIALECT)
    return processor


def _below_decorators(
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


def _bind(decorator: TypeDecorator[Any]) -> Callable[[Any], Any]:
    if type(decorator).process_bind_param is TypeDecorator.process_bind_param:
        return lambda value: value
    return lambda value: decorator.process_bind_param(value, DIALECT)


def _kind(stored: TypeEngine[Any]) -> Any:
    """Return what pydantic validates the stored values of a type as."""
    if isinstance(stored, Enum):
        if MYSQL and stored.native_enum:
            raise TypeError(
                "MySQL sorts by number what it compares as text; pass native_enum=False"
            )
        return Literal[tuple(stored.enums)]
    kind = stored.python_type
    if kind not in SORTABLE:
        raise TypeError("a cursor cannot carry its values; sort by another column")
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
