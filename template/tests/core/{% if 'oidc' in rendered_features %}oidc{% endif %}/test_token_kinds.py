"""Tokens that a provider signs for other purposes."""

from typing import Any

import httpx2
import pytest

from tests.core.oidc.conftest import bearer
from tools.identity_provider import IdentityProvider

SENDER_CONSTRAINED = "bound to a key of its owner (DPoP, mutual TLS)"
OTHER = "an ID token, a refresh token or of another kind"
EVENT = "a logout token or another event"
LOGOUT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@pytest.mark.parametrize(
    ("claims", "kind"),
    [
        ({"typ": "ID"}, OTHER),
        ({"typ": "Refresh"}, OTHER),
        ({"typ": "Offline"}, OTHER),
        ({"typ": "Logout"}, OTHER),
        ({"typ": None}, OTHER),
        ({"token_use": "id"}, "an ID token"),
        ({"at_hash": "x"}, "an ID token"),
        ({"c_hash": "x", "scope": "openid"}, "an ID token"),
        ({"nonce": "x"}, "an ID token"),
        ({"events": LOGOUT}, EVENT),
        ({"cnf": {"jkt": "x"}, "typ": "DPoP"}, SENDER_CONSTRAINED),
        ({"cnf": {"x5t#S256": "x"}, "scope": "thing:read"}, SENDER_CONSTRAINED),
    ],
)
async def test_other_tokens_are_rejected(
    client: httpx2.AsyncClient,
    identity_provider: IdentityProvider,
    claims: dict[str, Any],
    kind: str,
) -> None:
    token = as_jwt(identity_provider, claims)
    response = await client.get("/caller", headers=bearer(token))
    assert response.status_code == 401
    assert response.json()["detail"] == f"The access token is {kind} instead of an access token."


@pytest.mark.parametrize(
    "claims",
    [
        {"typ": "Bearer"},
        {"typ": "Bearer", "nonce": "x"},
        {"token_use": "access"},
        {"scope": "openid", "nonce": "x"},
        {"scp": "thing.read", "nonce": "x"},
    ],
)
async def test_access_tokens_that_resemble_others_are_accepted(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    token = as_jwt(identity_provider, claims)
    assert (await client.get("/caller", headers=bearer(token))).status_code == 200


@pytest.mark.parametrize("name", ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token", "JWE", ""])
async def test_other_types_in_the_header_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, name: str
) -> None:
    token = as_jwt(identity_provider, {"scope": "thing:read"}, typ=name)
    response = await client.get("/caller", headers=bearer(token))
    assert response.status_code == 401
    assert "has a header `typ` that is not accepted: at+jwt, JWT" in response.json()["detail"]


def as_jwt(provider: IdentityProvider, claims: dict[str, Any], typ: str = "JWT") -> str:
    common = {"iss": provider.issuer, "aud": "api", "sub": "me", "exp": 4_000_000_000}
    return provider.sign(common | claims, typ=typ)
