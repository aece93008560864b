"""What a caller may do, according to the claims of the token."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from app.core.oidc.settings import OIDCSettings


def granted_scopes(
    claims: Mapping[str, Any], settings: OIDCSettings, roles: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """Return the scopes of the token, and those of its roles."""
    granted: set[str] = set()
    for name in settings.scope_claims:
        value = find_claim(claims, name)
        scopes = value.split() if isinstance(value, str) else names(value)
        prefix = settings.scope_prefix
        granted.update(scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix))
    for name in settings.role_claims:
        for role in names(find_claim(claims, name)):
            granted.update(roles.get(role, ()))
    return frozenset(granted)


def find_claim(claims: Any, name: str) -> Any:
    """Return the claim of this name, or at this path: `realm_access.roles`; None without it.

    Names within a path may contain dots, too, as those of Keycloak's clients do.
    """
    if not isinstance(claims, Mapping):
        return None
    if name in claims:
        return claims[name]
    dots = [index for index, character in enumerate(name) if character == "."]
    for dot in dots:
        found = find_claim(claims.get(name[:dot]), name[dot + 1 :])
        if found is not None:
            return found
    return None


def names(value: Any) -> Iterator[str]:
    """Yield a name, or those of a list, or the keys of a mapping, as Zitadel has them."""
    found = [value] if isinstance(value, str) else value
    if isinstance(found, list | dict):
        yield from (name for name in found if isinstance(name, str))
