"""Tokens as providers issue them: where scopes and roles are, and in which form."""

from typing import Any

import pytest

from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tools.identity_provider import IdentityProvider

ROLES = {"reader": ["thing:read"], "editor": ["thing:read", "thing:write"]}
READ, WRITE = ["thing:read"], ["thing:read", "thing:write"]
ZITADEL = "urn:zitadel:iam:org:project:roles"
AUTH0 = "https://example.com/roles"


@pytest.mark.parametrize(
    ("settings", "claims", "scopes"),
    [
        # Scopes.
        ({}, {"scope": "thing:read  thing:write"}, WRITE),
        ({}, {"scope": ["thing:read", "thing:write", 7, None]}, WRITE),
        ({}, {"scp": "thing:read"}, READ),
        ({}, {"scope": "thing:read", "scp": ["thing:write"]}, WRITE),
        ({}, {"scope": None}, []),
        ({}, {"scope": 7}, []),
        ({}, {}, []),
        # Keycloak.
        ({"role_claims": "realm_access.roles"}, {"realm_access": {"roles": ["editor"]}}, WRITE),
        (
            {"role_claims": "resource_access.my.api.roles"},
            {"resource_access": {"my": {"x": 1}, "my.api": {"roles": ["reader", "unknown"]}}},
            READ,
        ),
        # Entra: of users, and of applications.
        ({"role_claims": "roles"}, {"scp": "openid", "roles": ["reader"]}, ["openid", *READ]),
        ({"scope_claims": "scp,roles"}, {"roles": ["thing:read", "thing:write"]}, WRITE),
        # Auth0.
        ({"scope_claims": "scope,permissions"}, {"permissions": ["thing:read"]}, READ),
        ({"role_claims": AUTH0}, {AUTH0: ["editor"]}, WRITE),
        ({"role_claims": AUTH0}, {AUTH0: "editor"}, WRITE),
        # Cognito.
        ({"role_claims": "cognito:groups"}, {"cognito:groups": ["editor"]}, WRITE),
        ({"scope_prefix": "api/"}, {"scope": "api/thing:read thing:write x/thing:write"}, READ),
        # Zitadel.
        ({"role_claims": ZITADEL}, {ZITADEL: {"reader": {"1": "example.com"}}}, READ),
        # authentik.
        ({"role_claims": "groups"}, {"groups": ["editor", "authentik Admins"]}, WRITE),
        # Several claims, and claims in an unexpected form.
        ({"role_claims": "roles,groups"}, {"roles": ["reader"], "groups": ["editor"]}, WRITE),
        ({"role_claims": "a.b.c"}, {"a": {"b": ["c"]}, "a.b": 7}, []),
        ({"role_claims": "roles"}, {"roles": [["editor"], {"editor": 1}, 7]}, []),
        # A role's name is one name, even with a space.
        ({"role_claims": "roles"}, {"roles": "reader editor"}, []),
    ],
)
async def test_scopes_are_those_of_the_token_and_its_roles(
    make_app: MakeApp,
    identity_provider: IdentityProvider,
    settings: dict[str, str],
    claims: dict[str, Any],
    scopes: list[str],
) -> None:
    app = make_app(**settings)
    app.state.oidc.roles = ROLES
    token = identity_provider.access_token("me", **claims)
    async with connect(app) as client:
        response = await client.get("/caller", headers=bearer(token))
    assert response.json()["scopes"] == scopes


async def test_roles_are_ignored_by_default(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    """An "editor" of another application may edit nothing here."""
    app = make_app()
    app.state.oidc.roles = ROLES
    claims = {"roles": ["editor"], "groups": ["editor"], "realm_access": {"roles": ["editor"]}}
    async with connect(app) as client:
        token = identity_provider.access_token("me", **claims)
        response = await client.get("/caller", headers=bearer(token))
    assert response.json()["scopes"] == []
