"""Tokens that a provider signs with the same keys, but that are not access tokens for an API."""

from collections.abc import Collection, Mapping
from typing import Any

from app.core.oidc.settings import normalize_type


def find_other_kind(
    header: Mapping[str, Any], claims: Mapping[str, Any], scope_claims: Collection[str]
) -> str | None:
    """Return what a token is, if it is not an access token that its bearer may use."""
    if "events" in claims:
        return "a logout token or another event"
    if "cnf" in claims:
        # Accepted without a proof of possession of its key, it would work for a thief as well:
        # https://www.rfc-editor.org/rfc/rfc9449#section-7
        return "bound to a key of its owner (DPoP, mutual TLS)"
    # Keycloak's `typ` and Cognito's `token_use`.
    if str(claims.get("typ", "Bearer")).lower() != "bearer":
        return "an ID token, a refresh token or of another kind"
    if claims.get("token_use", "access") != "access":
        return "an ID token"
    if any(name in claims for name in ("at_hash", "c_hash", "s_hash")):
        return "an ID token"
    if "nonce" in claims and not is_marked_as_access_token(header, claims, scope_claims):
        return "an ID token"
    return None


def is_marked_as_access_token(
    header: Mapping[str, Any], claims: Mapping[str, Any], scope_claims: Collection[str]
) -> bool:
    """Return whether something only access tokens have is there.

    Some providers copy the `nonce` of a login into them: Keycloak before version 25, authentik.
    """
    return (
        normalize_type(header.get("typ", "")) == "at+jwt"
        or "typ" in claims
        or "token_use" in claims
        or any(name in claims for name in scope_claims)
    )
