"""What the API fuzzer cannot guess: cursors come from pages."""

from typing import Any

import requests
import schemathesis
from schemathesis.generation import GenerationMode


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case[Any], _options: dict[str, Any]
) -> None:
    """Put a cursor that a page of the same list and order gave in the place of a guessed one."""
    guessed = case.query and "cursor" in case.query
    if not guessed or not case.meta or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    others = {name: value for name, value in case.query.items() if name != "cursor"}
    url = f"{case.operation.base_url}{case.formatted_path}"
    page = requests.get(url, params=others | {"limit": "1"}, timeout=30).json()
    case.query = others | ({"cursor": page["next_cursor"]} if page.get("next_cursor") else {})
