"""Routers of modules, which cost the requests of other modules next to nothing."""

from typing import Any

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class ModuleRouter(APIRouter):
    """A router that looks at its routes only if its prefix is in the path.

    FastAPI matches the routes of every router that comes before:
    https://github.com/fastapi/fastapi/blob/0.165.0/fastapi/routing.py
    """

    def __init__(self, *, prefix: str, **options: Any) -> None:
        super().__init__(prefix=prefix, **options)
        # What comes before may be a prefix of `include_router`; a parameter can be anything.
        self._fixed_part = prefix.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._fixed_part not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)
