"""Write the OpenAPI document of the application to docs/openapi.json; run by `nox -s openapi`."""

import json

from fastapi import FastAPI

from app.core.settings import PROJECT_ROOT, Settings
from app.main import create_app

DOCUMENT = PROJECT_ROOT / "docs" / "openapi.json"


def openapi_json(app: FastAPI) -> str:
    """Return the OpenAPI document of an application as JSON that is easy to compare."""
    return json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    # Without DATABASE_URL, which the document does not depend on.
    app = create_app(Settings.model_construct(), configure_logging=False)
    DOCUMENT.write_text(openapi_json(app), "utf-8")
