"""Cursors: the sort values of the last row of a page, in a form that is opaque to clients."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json

from app.core.errors import InvalidError, Reason
from app.core.models import Entity
from app.core.sort_columns import sort_columns


def encode_cursor(model: type[Entity], order: str, row: object) -> str:
    """Return a cursor for the position of an entity or a row in a sort order."""
    values = [one.stored(getattr(row, one.name)) for one in sort_columns(model, order)]
    return urlsafe_b64encode(to_json([order, *values])).rstrip(b"=").decode()


def decode_cursor(model: type[Entity], order: str, cursor: str) -> list[Any]:
    """Return the stored values that `encode_cursor` put into a cursor.

    Raises InvalidError for a cursor of another list or sort order, and for a forged one.
    """
    try:
        position = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return list(_position(model, order).validate_json(position, strict=True)[1:])
    except ValueError:
        raise InvalidError(
            f"Invalid cursor {cursor[:40]!r} for this list and sort order; omit `cursor` to start"
            " from the first page.",
            [Reason(location=["query", "cursor"], reason="is invalid for this sort order")],
        ) from None


@cache
def _position(model: type[Entity], order: str) -> TypeAdapter[tuple[Any, ...]]:
    kinds: Any = tuple(one.kind for one in sort_columns(model, order))
    this_order: Any = Literal[order]
    return TypeAdapter(tuple[this_order, *kinds])
