"""OpenAPI: each operation that takes a bearer token takes the cookie instead, too."""

from typing import Any

from fastapi import FastAPI

from app.core.users.authentication import COOKIE, authenticate

SCHEME = "cookie"


def add_cookie_scheme(app: FastAPI) -> None:
    """Document both ways to authenticate; a dependency of FastAPI can have only one scheme."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemes = document.get("components", {}).get("securitySchemes", {})
        if authenticate.scheme_name not in schemes or SCHEME in schemes:
            return document
        schemes[SCHEME] = {"type": "apiKey", "in": "cookie", "name": COOKIE}
        for path in document["paths"].values():
            for operation in path.values():
                _add_alternative(operation)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_alternative(operation: Any) -> None:
    alternatives = operation.get("security", []) if isinstance(operation, dict) else []
    for alternative in [*alternatives]:
        if scopes := alternative.get(authenticate.scheme_name):
            alternatives.append({SCHEME: scopes})
        elif authenticate.scheme_name in alternative:
            alternatives.append({SCHEME: []})
