"""How tests get callers."""

from collections.abc import Awaitable
from typing import Protocol


class Authorize(Protocol):
    """The fixture `authorize`: makes a caller with exactly these scopes.

    Its value is the headers of the caller's requests. Each call makes another caller.
    """

    def __call__(self, *scopes: str) -> Awaitable[dict[str, str]]: ...
