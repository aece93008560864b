from difflib import unified_diff

from fastapi import FastAPI

from tools.openapi import DOCUMENT, openapi_json


def test_the_stored_openapi_document_is_up_to_date(app: FastAPI) -> None:
    """So that a review of docs/openapi.json shows changes that break clients."""
    stored = DOCUMENT.read_text("utf-8").splitlines() if DOCUMENT.exists() else []
    current = openapi_json(app).splitlines()
    difference = unified_diff(stored, current, "docs/openapi.json", "the application")
    lines = "\n".join(difference)
    assert not lines, f"run `uv run nox -s openapi` and review the changes:\n{lines}"
