"""Access tokens with wrong claims, and forged or malformed ones, sent over HTTP."""

import json
from time import time
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import serialize_compact

from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tests.core.openid.forged_tokens import MALFORMED, encode, symmetric_token, unsigned_token
from tools.identity_provider import IdentityProvider

CHALLENGE = 'Bearer error="invalid_token"'
OTHER_ALGORITHM = "is not signed with an accepted algorithm: RS256, ES256"


class FromNow(int):
    """A time in seconds from when a token is issued."""


def claims_of(provider: IdentityProvider, **changes: Any) -> dict[str, Any]:
    """Return the claims of a valid token, with changes; None omits one."""
    claims = {"iss": provider.issuer, "aud": "api", "sub": "me", "exp": FromNow(60)} | changes
    now = int(time())
    return {
        name: now + value if isinstance(value, FromNow) else value
        for name, value in claims.items()
        if value is not None
    }


async def rejection(client: httpx2.AsyncClient, token: str) -> str:
    """Return the reason why a token is rejected, which quotes nothing of it."""
    response = await client.get("/caller", headers=bearer(token))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == CHALLENGE
    assert response.headers["Content-Type"] == "application/problem+json"
    detail: str = response.json()["detail"]
    return detail.removeprefix("The access token ").removesuffix(".")


async def test_a_valid_token_identifies_the_caller(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    for header in ({}, {"typ": "JWT"}, {"typ": "application/AT+JWT"}):
        token = identity_provider.sign(claims_of(identity_provider, scope="a b"), **header)
        response = await client.get("/caller", headers=bearer(token))
        assert response.json() == {"id": "me", "scopes": ["a", "b"]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "is from another issuer"),
        ({"iss": ["https://evil.example"]}, "is from another issuer"),
        ({"iss": None}, "lacks a required claim: iss"),
        ({"aud": "other"}, "is meant for another audience, according to its `aud`"),
        ({"aud": ["other", "apis"]}, "is meant for another audience, according to its `aud`"),
        ({"aud": {"api": 1}}, "is meant for another audience, according to its `aud`"),
        ({"aud": None}, "lacks a required claim: aud"),
        ({"exp": FromNow(-60)}, "has expired"),
        ({"exp": None}, "lacks a required claim: exp"),
        ({"exp": "never"}, "has an invalid `exp`"),
        ({"exp": float("nan")}, "has an invalid `exp`"),
        ({"exp": True}, "has an invalid `exp`"),
        ({"nbf": FromNow(600)}, "is not valid yet, or has an invalid `nbf`"),
        ({"iat": FromNow(600)}, "was issued in the future, or has an invalid `iat`"),
        ({"sub": None}, "lacks a required claim: sub"),
        ({"sub": ""}, "has an invalid `sub`"),
        ({"sub": 7}, "has an invalid `sub`"),
        ({"sub": "x" * 256}, "has a `sub` that is not printable, or longer than 255"),
        ({"sub": "a\x00b"}, "has a `sub` that is not printable, or longer than 255"),
        ({"sub": "a\ud800"}, "has a `sub` that is not printable, or longer than 255"),
    ],
)
async def test_a_token_with_wrong_claims_is_rejected_with_the_reason(
    client: httpx2.AsyncClient,
    identity_provider: IdentityProvider,
    changes: dict[str, Any],
    reason: str,
) -> None:
    claims = json.dumps(claims_of(identity_provider, **changes)).encode()
    key = identity_provider.key
    token = serialize_compact({"alg": "RS256", "kid": key.kid}, claims, key)
    assert await rejection(client, token) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", "api"]},
        {"exp": FromNow(-5)},
        {"exp": 4_000_000_000.5},
        {"exp": 10**400},
        {"nbf": FromNow(5)},
        {"sub": "ü" * 255},
    ],
)
async def test_a_token_with_unusual_claims_is_accepted(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, changes: dict[str, Any]
) -> None:
    token = identity_provider.sign(claims_of(identity_provider, **changes))
    for _ in range(2):
        assert (await client.get("/caller", headers=bearer(token))).status_code == 200


async def test_forged_tokens_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    claims, key = claims_of(identity_provider), identity_provider.key
    header, _, signature = identity_provider.sign(claims).split(".")
    foreign = jwt.encode({"alg": "RS256", "kid": key.kid}, claims, RSAKey.generate_key(2048))
    changed = f"{header}.{encode(claims | {'sub': 'admin'})}.{signature}"
    unknown = identity_provider.sign(claims, kid="unknown")
    secret = key.as_pem(private=False)
    for token, reason in (
        (foreign, "has an invalid signature"),
        (changed, "has an invalid signature"),
        (unknown, "is signed with an unknown key"),
        (symmetric_token(claims, secret, kid=key.kid), OTHER_ALGORITHM),
        (unsigned_token({"alg": "none"}, claims) + ".", OTHER_ALGORITHM),
    ):
        assert await rejection(client, token) == reason


async def test_malformed_tokens_are_rejected_without_an_error(client: httpx2.AsyncClient) -> None:
    for token in MALFORMED:
        headers = {b"Authorization": f"Bearer {token}".encode()}
        response = await client.get("/caller", headers=headers)
        assert response.status_code == 401, token
        assert response.headers["WWW-Authenticate"] == CHALLENGE, token
        assert len(token) < 5 or token not in response.text


async def test_limits_and_accepted_types_are_settings(
    make_app: MakeApp, identity_provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OIDC_TOKEN_TYPES", "application/AT+jwt")
    limits = {"max_token_bytes": 1500, "max_header_bytes": 300}
    app = make_app(**limits, audience="one, two", clock_skew=0)
    async with connect(app) as client:
        for changes, header, reason in (
            ({"aud": "two"}, {"typ": "at+jwt"}, None),
            ({"aud": "two"}, {"typ": "JWT"}, "has a header `typ` that is not accepted"),
            ({"aud": "api"}, {"typ": "at+jwt"}, "is meant for another audience"),
            ({"aud": "one", "x": "x" * 1500}, {"typ": "at+jwt"}, "is too long; at most 1500"),
            ({"aud": "one"}, {"kid": "x" * 300}, "has a header of more than 300 bytes"),
            ({"aud": "one", "exp": FromNow(-1)}, {"typ": "at+jwt"}, "has expired"),
        ):
            token = identity_provider.sign(claims_of(identity_provider, **changes), **header)
            if reason:
                assert (await rejection(client, token)).startswith(reason)
            else:
                assert (await client.get("/caller", headers=bearer(token))).status_code == 200


async def test_accepted_algorithms_are_a_setting(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    token = identity_provider.access_token("me")
    for algorithms, status in (("RS256", 200), ("ES256,RS256", 200), ("ES256", 401)):
        async with connect(make_app(algorithms=algorithms)) as client:
            response = await client.get("/caller", headers=bearer(token))
            assert response.status_code == status


async def test_the_audience_can_be_in_another_claim(
    make_app: MakeApp, identity_provider: IdentityProvider
) -> None:
    """Access tokens of Cognito have no `aud`."""
    async with connect(make_app(audience_claim="client_id", audience="web,cli")) as client:
        token = identity_provider.sign(claims_of(identity_provider, aud=None, client_id="cli"))
        assert (await client.get("/caller", headers=bearer(token))).status_code == 200
        token = identity_provider.sign(claims_of(identity_provider, aud="web", client_id="evil"))
        reason = "is meant for another audience, according to its `client_id`"
        assert await rejection(client, token) == reason
