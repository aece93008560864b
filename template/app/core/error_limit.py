"""Limits the errors that are collected and reported, so that a request cannot block a process.

Pydantic collects all errors, and FastAPI creates several objects for each: a list of 1,000 objects
with 130 unknown keys each took four seconds, during which nothing else ran.
"""

from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler, no_info_wrap_validator_function

MAX_ERRORS = 100
"""Errors that a response lists."""
MAX_ERRORS_PER_OBJECT = 1000
"""Errors of one object, including nested ones, beyond which they are only counted."""


def limit_errors(error: ValidationError) -> None:
    """Raise PydanticCustomError in place of an error that contains too many others.

    They become Python objects only when `errors()` is called, which always returns all of them.
    """
    if (count := error.error_count()) > MAX_ERRORS_PER_OBJECT:
        raise PydanticCustomError(
            "too_many_errors", "Object has {count} errors, too many to list", {"count": count}
        )


class StopEarly:
    """Annotates a list: validation stops once its items have more than MAX_ERRORS in total."""

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
    # Start over, so that the locations of errors are correct.
    return handler(value[: _count_until_limit(value, handler)])


def _count_until_limit(items: list[Any], handler: ValidatorFunctionWrapHandler) -> int:
    """Return how many leading items have more than MAX_ERRORS in total."""
    found = 0
    for count, item in enumerate(items, start=1):
        try:
            handler([item])
        except ValidationError as error:
            found += error.error_count()
        if found > MAX_ERRORS:
            return count
    return len(items)
