"""Callers as services see them, without FastAPI."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Principal:
    """An authenticated caller."""

    id: str
    """Identifies the caller: never reused, at most 255 characters."""
    scopes: frozenset[str]
    """What the caller may do, as defined by the `permissions` of modules."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """What else is known of the caller, from the credentials."""

    def has_scope(self, scope: str) -> bool:
        return scope in self.scopes
