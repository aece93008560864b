"""Routers of modules: FastAPI's own, with a shortcut for requests of other modules."""

from typing import Any

import fastapi
from starlette.routing import Match
from starlette.types import Scope


class APIRouter(fastapi.APIRouter):
    """A router that matches its routes only if the path contains its prefix.

    FastAPI tries the routes of each router that was included before the matching one:
    https://github.com/fastapi/fastapi/blob/0.165.0/fastapi/routing.py
    """

    def __init__(self, *, prefix: str, **options: Any) -> None:
        super().__init__(prefix=prefix, **options)
        # `include_router` may add a prefix before it, and a path parameter matches anything.
        self._fixed_part = prefix.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._fixed_part not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)


def has_route(scope: Scope) -> bool:
    """Return whether the application has a route for exactly this path and method."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


# Alias for modules rendered before 0.3.0; remove in 0.5.0.
ModuleRouter = APIRouter
