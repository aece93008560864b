from difflib import unified_diff

from fastapi import FastAPI

from docs.openapi import STORED, describe


def test_the_api_is_what_was_promised(app: FastAPI) -> None:
    """A change that breaks clients is seen when docs/openapi.json is reviewed."""
    stored = STORED.read_text("utf-8").splitlines() if STORED.exists() else []
    difference = unified_diff(stored, describe(app).splitlines(), "docs/openapi.json", "the API")
    lines = "\n".join(difference)
    assert not lines, f"run `uv run nox -s openapi`, and review what changes:\n{lines}"
