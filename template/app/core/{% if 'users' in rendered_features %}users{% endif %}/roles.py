"""Scopes of callers, by the roles of their accounts."""

from collections.abc import Collection, Iterable, Mapping


class RoleScopes:
    """Returns the scopes of sets of roles, each computed once."""

    def __init__(self, roles: Mapping[str, Collection[str]]) -> None:
        self.roles = dict(roles)
        self._cache: dict[tuple[str, ...], frozenset[str]] = {}

    def scopes(self, roles: Iterable[str]) -> frozenset[str]:
        """Return what the roles grant; one that app/roles.py no longer has grants nothing."""
        key = tuple(roles)
        if (scopes := self._cache.get(key)) is None:
            granted = (scope for role in key for scope in self.roles.get(role, ()))
            scopes = self._cache[key] = frozenset(granted)
        return scopes
