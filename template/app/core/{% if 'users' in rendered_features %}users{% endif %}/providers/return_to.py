"""Where the browser goes after a login: never to another site."""

import re
from collections.abc import Container

from app.core.errors import ErrorDetail, InvalidError

# Without backslashes and control characters, which browsers turn into slashes, or drop.
REST = r"[!-\[\]-~]*"
PATH = re.compile(rf"/(?!/){REST}")
URL = re.compile(rf"(?P<origin>https?://[a-z0-9.-]+(:\d+)?)([/?#]{REST})?")


class InvalidReturnToError(InvalidError):
    def __init__(self) -> None:
        reason = "expected a path such as /orders, or a URL of an allowed origin"
        detail = ErrorDetail(location=["body", "return_to"], reason=reason)
        super().__init__(f"Invalid `return_to`: {reason}.", [detail])


def check_return_to(target: str | None, *origins: Container[str]) -> None:
    """Raise InvalidReturnToError for a URL of another origin, or one that browsers could mend."""
    if target is None or PATH.fullmatch(target):
        return
    match = URL.fullmatch(target)
    if match is None or not any(match["origin"] in allowed for allowed in origins):
        raise InvalidReturnToError
