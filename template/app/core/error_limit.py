"""How many errors of an invalid request are looked for and reported, so that none stops a process.

Pydantic collects all errors, and FastAPI makes several objects of each: a list of 1,000 objects
with 130 unknown keys each took four seconds, in which nothing else ran.
"""

from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler, no_info_wrap_validator_function

MAX_ERRORS = 100
"""Errors that a response lists."""
MAX_ERRORS_PER_OBJECT = 1000
"""Errors of one object, with all inside of it, beyond which they are only counted."""


def limit_errors(error: ValidationError) -> None:
    """Raise PydanticCustomError in the place of an error that holds too many others.

    They exist as Python objects only once `errors()` is called, which can take only all of them.
    """
    if (count := error.error_count()) > MAX_ERRORS_PER_OBJECT:
        raise PydanticCustomError(
            "too_many_errors", "Object has {count} errors, too many to list", {"count": count}
        )


class StopEarly:
    """Annotates a list: no item is checked after those that have more than MAX_ERRORS together."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_wrap_validator_function(_stop_early, handler(source))


def _stop_early(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        if error.error_count() <= MAX_ERRORS or not isinstance(value, list):
            raise
    # From the start again, so that the locations of errors stay right.
    return handler(value[: _count_until_limit(value, handler)])


def _count_until_limit(items: list[Any], handler: ValidatorFunctionWrapHandler) -> int:
    """Return how many items, from the first on, have more than MAX_ERRORS together."""
    found = 0
    for count, item in enumerate(items, start=1):
        try:
            handler([item])
        except ValidationError as error:
            found += error.error_count()
        if found > MAX_ERRORS:
            return count
    return len(items)
