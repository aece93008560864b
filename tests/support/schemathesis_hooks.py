"""Hooks of the API fuzzer, which cannot guess cursors."""

from typing import Any

import requests
import schemathesis
from schemathesis.generation import GenerationMode

LONG_CURSOR = 2000


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], _options: dict[str, Any]
) -> None:
    """Replace a guessed cursor by one from a page of the same list and order."""
    if not case.query or "cursor" not in case.query:
        return
    if not case.meta or case.meta.generation.mode is not GenerationMode.POSITIVE:
        # Encoded in a URL, a long non-ASCII cursor exceeds the 64 KiB that Uvicorn itself accepts.
        cursor = str(case.query["cursor"])
        if len(cursor) > LONG_CURSOR and not cursor.isascii():
            case.query = case.query | {"cursor": "0" * len(cursor)}
        return
    others = {name: value for name, value in case.query.items() if name != "cursor"}
    url = f"{case.operation.base_url}{case.formatted_path}"
    page = requests.get(url, params=others | {"limit": "1"}, timeout=30).json()
    case.query = others | ({"cursor": page["next_cursor"]} if page.get("next_cursor") else {})
