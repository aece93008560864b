"""How tests get callers."""

from collections.abc import Awaitable
from typing import Protocol


class Authorize(Protocol):
    """The fixture `authorize`: returns the headers of a caller with exactly these scopes.

    Each call makes another caller, unless `id` names one.
    """

    def __call__(
        self,
        *scopes: str,
        id: str | None = None,  # noqa: A002
    ) -> Awaitable[dict[str, str]]: ...
