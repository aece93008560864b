"""Writes docs/openapi.json: what the API promises to its clients."""

import json
from pathlib import Path

from fastapi import FastAPI

from app.core.settings import Settings
from app.main import create_app

STORED = Path(__file__).with_name("openapi.json")


def describe(app: FastAPI) -> str:
    """Return the OpenAPI document of an application as text whose differences are easy to read."""
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    # A document needs no database.
    STORED.write_text(describe(create_app(Settings.model_construct())), "utf-8")
