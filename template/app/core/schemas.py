"""What every schema stands on."""

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

from app.core.error_limit import StopEarly, limit_errors

# No database can store a NUL character in a text.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

ValueT = TypeVar("ValueT")
# The rows of one request that are created together.
Rows = Annotated[list[ValueT], Field(min_length=1, max_length=1000), StopEarly()]
# What a database's largest integer holds.
INTEGERS = range(-(2**63), 2**63)
# How deep lists and mappings may lie in each other; MySQL's JSON has no more.
DEEPEST = 100


def storable(value: ValueT) -> ValueT:
    """Return a value that a client sent, if a database can store it and compare with it.

    Raises ValueError for a NUL character, a surrogate, a number that is not finite or beyond 64
    bits, and a moment without a time zone or outside of the calendar, also within lists and
    mappings, which may be 100 deep.
    """
    pending: list[Any] = [value]
    for _ in range(DEEPEST):
        pending = [inner for outer in pending for inner in _inside(outer)]
        if not pending:
            return value
    raise ValueError(f"lists and mappings cannot be more than {DEEPEST} deep")


def _inside(value: Any) -> Iterable[Any]:
    """Return what is to be checked next, inside of a value; raises ValueError as `storable`."""
    match value:
        case str() if "\0" in value:
            raise ValueError("a NUL character cannot be stored")
        case str() if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a surrogate is no character")
        case int() if value not in INTEGERS:
            raise ValueError("a number beyond 64 bits cannot be stored")
        # A decimal that is beyond a float as well: SQLite stores it as one.
        case float() | Decimal() if not math.isfinite(value):
            raise ValueError("a number that is not finite cannot be stored")
        case datetime():
            _in_utc(value)
        case list() | tuple() | set() | frozenset():
            return value
        case dict():
            return (*value.keys(), *value.values())
    return ()


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone, Z say")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC the moment is outside of the calendar") from None


class WriteSchema(BaseModel):
    """What a client sends; an unknown field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*")
    @classmethod
    def _refuse_what_cannot_be_stored(cls, value: Any) -> Any:
        return storable(value)

    @model_validator(mode="wrap")
    @classmethod
    def _limit_errors(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            limit_errors(error)
            raise


class ReadSchema(BaseModel):
    """What a client gets of an entity."""

    model_config = ConfigDict(from_attributes=True, hide_input_in_errors=True)

    id: UUID
    created_at: datetime
    updated_at: datetime
