"""Tokens that are forged, foreign, outdated or malformed, sent over HTTP."""

import hmac
import json
from base64 import urlsafe_b64encode
from time import time
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

from tests.conftest import connect
from tests.core.oidc.conftest import MakeApp, bearer
from tools.identity_provider import IdentityProvider

FOREIGN_KEY = RSAKey.generate_key(2048, auto_kid=True)
CHALLENGE = 'Bearer error="invalid_token"'


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned_token(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{encode(header)}.{encode(claims)}"


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


def sign(provider: IdentityProvider, key: Key, **header: Any) -> str:
    """Return a token that claims to be signed with the provider's key."""
    registry = JWSRegistry(algorithms=["RS256", "HS256", "ES256"], strict_check_header=False)
    header = {"alg": "RS256", "kid": provider.key.kid, "typ": "at+jwt"} | header
    return jwt.encode(header, claims_of(provider), key, registry=registry)


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


async def test_a_token_signed_with_the_public_key_as_a_secret_is_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    key = identity_provider.key
    unsigned = unsigned_token({"alg": "HS256", "kid": key.kid}, claims_of(identity_provider))
    signature = hmac.digest(key.as_pem(private=False), unsigned.encode(), "sha256")
    reason = "is not signed with an accepted algorithm: RS256, ES256"
    assert await rejection(client, f"{unsigned}.{encode(signature)}") == reason


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "PS256", "RS512"])
async def test_other_algorithms_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, name: str
) -> None:
    unsigned = unsigned_token({"alg": name}, claims_of(identity_provider))
    for signature in ("", "c2ln"):
        token = f"{unsigned}.{signature}"
        reason = "is not signed with an accepted algorithm: RS256, ES256"
        assert await rejection(client, token) == reason


async def test_keys_that_a_token_names_are_never_used(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    public = FOREIGN_KEY.as_dict(private=False)
    url = "https://evil.example/keys"
    for header in ({"jwk": public}, {"jku": url}, {"x5u": url}, {"x5c": ["MIIB"]}):
        token = sign(identity_provider, FOREIGN_KEY, **header)
        assert await rejection(client, token) == "has an invalid signature"
        token = sign(identity_provider, FOREIGN_KEY, kid=FOREIGN_KEY.kid, **header)
        assert await rejection(client, token) == "is signed with an unknown key"


async def test_a_signature_of_another_kind_of_key_is_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    token = sign(identity_provider, ECKey.generate_key("P-256"), alg="ES256")
    assert await rejection(client, token) == "is signed with an unknown key"


async def test_changed_tokens_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    header, _, signature = identity_provider.sign(claims_of(identity_provider)).split(".")
    forged = encode(claims_of(identity_provider, sub="admin"))
    assert await rejection(client, f"{header}.{forged}.{signature}") == "has an invalid signature"
    assert await rejection(client, f"{header}.{forged}.") == "has an invalid signature"


@pytest.mark.parametrize("parameters", [{"b64": False}, {"b64": True}, {"unknown": 1}, {}])
async def test_critical_header_parameters_are_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, parameters: dict[str, Any]
) -> None:
    key = identity_provider.key
    header = {"alg": "RS256", "kid": key.kid, "crit": [*parameters]} | parameters
    unsigned = unsigned_token(header, claims_of(identity_provider))
    signature = JWSRegistry.algorithms["RS256"].sign(unsigned.encode(), key)
    reason = "has critical header parameters, which are not supported"
    assert await rejection(client, f"{unsigned}.{encode(signature)}") == reason


async def test_unknown_header_parameters_are_ignored(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    token = sign(identity_provider, identity_provider.key, vendor="anything")
    assert (await client.get("/caller", headers=bearer(token))).status_code == 200


async def test_a_long_header_with_certificates_is_accepted_up_to_the_limit(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    key = identity_provider.key
    token = sign(identity_provider, key, x5c=["A" * 2500])
    assert (await client.get("/caller", headers=bearer(token))).status_code == 200
    token = sign(identity_provider, key, x5c=["A" * 3500])
    reason = "has a header of more than 4096 bytes, or another part that is too long"
    assert await rejection(client, token) == reason


async def test_a_token_without_a_key_id_is_accepted_if_there_is_only_one_key(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider
) -> None:
    registry = JWSRegistry(algorithms=["RS256"])
    key = identity_provider.key
    token = jwt.encode({"alg": "RS256"}, claims_of(identity_provider), key, registry=registry)
    assert (await client.get("/caller", headers=bearer(token))).status_code == 200


async def test_a_huge_token_is_rejected(client: httpx2.AsyncClient) -> None:
    reason = "is too long; at most 16384 bytes are accepted"
    assert await rejection(client, "a" * 20_000) == reason


NO_STRINGS: list[Any] = [None, 1, [], {}, True]
MALFORMED = [
    "",
    ".",
    "..",
    "...",
    "a.b.c",
    "é.é.é",
    "a.b.c.d.e",
    "a b c",
    "Bearer a.b.c",
    "a.b.c, a.b.c",
    "\t",
    *(encode(header) + ".e30.c2ln" for header in [*NO_STRINGS, "alg", "alg b64", ["alg"]]),
    *(encode({"alg": alg}) + ".e30.c2ln" for alg in [*NO_STRINGS, ["RS256"], {"RS256": 1}]),
    *(
        encode({"alg": "RS256", name: value}) + ".e30.c2ln"
        for name in ("crit", "kid", "typ", "b64", "jwk", "jku", "x5c")
        for value in [*NO_STRINGS, [[]], [{}]]
    ),
    encode({"alg": "RS256", "jwk": "x"}) + ".e30.c2ln",
    encode(b'{"alg": "RS256", "x": ' + b"[" * 2000) + ".e30.c2ln",
    encode(b"[" * 3000) + ".e30.c2ln",
    encode(b'{"alg": ' + b"9" * 2900 + b"}") + ".e30.c2ln",
    encode(b"\xff\xfe") + ".e30.c2ln",
    encode({"alg": "RS256"}) + ".%%%.c2ln",
    encode({"alg": "RS256"}) + ".e30=.c2ln",
    encode({"alg": "RS256"}) + "=.e30.c2ln",
]


async def test_malformed_tokens_are_rejected_without_an_error(client: httpx2.AsyncClient) -> None:
    for token in MALFORMED:
        headers = {b"Authorization": f"Bearer {token}".encode()}
        response = await client.get("/caller", headers=headers)
        assert response.status_code == 401, token
        assert response.headers["WWW-Authenticate"] == CHALLENGE, token
        assert len(token) < 5 or token not in response.text


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"null", b"\xff", b"{", b"[" * 5000, b'{"exp":' + b"9" * 5000]
)
async def test_a_signed_token_without_claims_is_rejected(
    client: httpx2.AsyncClient, identity_provider: IdentityProvider, payload: bytes
) -> None:
    key = identity_provider.key
    token = serialize_compact({"alg": "RS256", "kid": key.kid}, payload, key)
    assert await rejection(client, token) == "has no claims"


async def test_limits_and_accepted_types_are_settings(
    make_app: MakeApp, identity_provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OIDC_TOKEN_TYPES", "application/AT+jwt")
    app = make_app(max_token_bytes=1500, audience="one, two", clock_skew=0)
    async with connect(app) as client:
        for changes, header, reason in (
            ({"aud": "two"}, {"typ": "at+jwt"}, None),
            ({"aud": "two"}, {"typ": "JWT"}, "has a header `typ` that is not accepted"),
            ({"aud": "api"}, {"typ": "at+jwt"}, "is meant for another audience"),
            ({"aud": "one", "x": "x" * 1500}, {"typ": "at+jwt"}, "is too long; at most 1500"),
            ({"aud": "one", "exp": FromNow(-1)}, {"typ": "at+jwt"}, "has expired"),
        ):
            token = identity_provider.sign(claims_of(identity_provider, **changes), **header)
            if reason:
                assert (await rejection(client, token)).startswith(reason)
            else:
                assert (await client.get("/caller", headers=bearer(token))).status_code == 200


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
