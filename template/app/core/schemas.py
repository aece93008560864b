"""Base classes of schemas, and checks that a database can store what clients send."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.core.errors import MAX_ERRORS_PER_OBJECT, StopEarly

# No database can store a NUL character in a text.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

ValueT = TypeVar("ValueT")
# A list of rows in a request, as for `Repository.add_many`.
Rows = Annotated[list[ValueT], Field(min_length=1, max_length=1000), StopEarly]
# The largest integer type of the databases.
INT64 = range(-(2**63), 2**63)
# Nesting levels of lists and mappings; the limit of MySQL's JSON.
MAX_DEPTH = 100


def check_storable(value: ValueT) -> ValueT:
    """Return a value if a database can store and compare it.

    Raises ValueError for a NUL character, a surrogate, a number that is not finite or exceeds 64
    bits, a datetime without a time zone or out of range in UTC, also within lists and mappings, and
    for nesting of more than 100 levels.
    """
    pending: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        pending = [inner for outer in pending for inner in _nested_values(outer)]
        if not pending:
            return value
    raise ValueError(f"lists and mappings can be nested at most {MAX_DEPTH} levels deep")


def _nested_values(value: Any) -> Iterable[Any]:
    """Return the nested values to check next; raises ValueError as `check_storable` does."""
    match value:
        case str() if "\0" in value:
            raise ValueError("NUL characters cannot be stored")
        case str() if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("surrogate code points cannot be stored")
        case int() if value not in INT64:
            raise ValueError("the integer exceeds 64 bits and cannot be stored")
        # SQLite stores decimals as floats, so the range of a float applies to both.
        case float() | Decimal() if not math.isfinite(value):
            raise ValueError("the number is not finite and cannot be stored")
        case datetime():
            _check_datetime(value)
        case list() | tuple() | set() | frozenset():
            return value
        case dict():
            return (*value.keys(), *value.values())
    return ()


def _check_datetime(value: datetime) -> None:
    if value.tzinfo is None:
        raise ValueError("the datetime has no time zone; append Z or an offset such as +02:00")
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the datetime is out of range in UTC") from None


class WriteSchema(BaseModel):
    """Data from a client; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _check_storable(cls, value: Any) -> Any:
        return check_storable(value)

    @model_validator(mode="wrap")
    @classmethod
    def _limit_errors(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            if (count := error.error_count()) <= MAX_ERRORS_PER_OBJECT:
                raise
            text = "Object has {count} errors, too many to list"
            raise PydanticCustomError("too_many_errors", text, {"count": count}) from error


class ReadSchema(BaseModel):
    """The representation of an entity in responses."""

    model_config = ConfigDict(from_attributes=True, hide_input_in_errors=True)

    id: UUID
    created_at: datetime
    updated_at: datetime
