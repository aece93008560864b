"""Tokens that are forged, foreign or malformed."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

from app.core.openid.signed_tokens import SignatureVerifier
from tests.core.openid.conftest import (
    ACCEPTED,
    UNAVAILABLE,
    UNKNOWN_KEY,
    MakeVerifier,
    result,
)
from tests.core.openid.faulty_provider import FaultyProvider
from tests.core.openid.forged_tokens import (
    MALFORMED,
    NO_STRINGS,
    encode,
    symmetric_token,
    unsigned_token,
)
from tools.identity_provider import IdentityProvider

CLAIMS = {"sub": "me"}
FOREIGN_KEY = RSAKey.generate_key(2048, auto_kid=True)
INVALID = "has an invalid signature"
OTHER_ALGORITHM = "is not signed with an accepted algorithm: RS256, ES256"


@pytest.fixture
def verifier(make_verifier: MakeVerifier) -> SignatureVerifier:
    return make_verifier()


@pytest.fixture
def provider(faulty_provider: FaultyProvider) -> IdentityProvider:
    return faulty_provider.identity


def sign(provider: IdentityProvider, key: Key, **header: Any) -> str:
    """Return a token that claims to be signed with the provider's key."""
    registry = JWSRegistry(algorithms=["RS256", "HS256", "ES256"], strict_check_header=False)
    header = {"alg": "RS256", "kid": provider.key.kid, "typ": "at+jwt"} | header
    return jwt.encode(header, CLAIMS, key, registry=registry)


def sign_any(provider: IdentityProvider, **header: Any) -> str:
    """Return a token of the provider with a header that the library would refuse to sign."""
    unsigned = unsigned_token({"alg": "RS256", "kid": provider.key.kid} | header, CLAIMS)
    signature = JWSRegistry.algorithms["RS256"].sign(unsigned.encode(), provider.key)
    return f"{unsigned}.{encode(signature)}"


async def test_the_header_and_the_claims_of_a_token_are_returned(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    header, claims = await verifier.verify(provider.sign(CLAIMS, typ="JWT"))
    assert header == {"alg": "RS256", "kid": provider.key.kid, "typ": "JWT"}
    assert claims == CLAIMS


async def test_a_token_signed_with_the_public_key_as_a_secret_is_rejected(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    key = provider.key
    token = symmetric_token(CLAIMS, key.as_pem(private=False), kid=key.kid)
    assert await result(verifier, token) == OTHER_ALGORITHM


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "PS256", "RS512"])
async def test_other_algorithms_are_rejected(verifier: SignatureVerifier, name: str) -> None:
    unsigned = unsigned_token({"alg": name}, CLAIMS)
    for signature in ("", "c2ln"):
        assert await result(verifier, f"{unsigned}.{signature}") == OTHER_ALGORITHM


async def test_keys_that_a_token_names_are_never_used(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    public = FOREIGN_KEY.as_dict(private=False)
    url = "https://evil.example/keys"
    for header in ({"jwk": public}, {"jku": url}, {"x5u": url}, {"x5c": ["MIIB"]}):
        token = sign(provider, FOREIGN_KEY, **header)
        assert await result(verifier, token) == INVALID
        token = sign(provider, FOREIGN_KEY, kid=FOREIGN_KEY.kid, **header)
        assert await result(verifier, token) == UNKNOWN_KEY


async def test_a_signature_of_another_kind_of_key_is_rejected(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    token = sign(provider, ECKey.generate_key("P-256"), alg="ES256")
    assert await result(verifier, token) == UNKNOWN_KEY


async def test_changed_tokens_are_rejected(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    header, _, signature = provider.sign(CLAIMS).split(".")
    forged = encode(CLAIMS | {"sub": "admin"})
    assert await result(verifier, f"{header}.{forged}.{signature}") == INVALID
    assert await result(verifier, f"{header}.{forged}.") == INVALID


@pytest.mark.parametrize("parameters", [{"b64": False}, {"b64": True}, {"unknown": 1}, {}])
async def test_critical_header_parameters_are_rejected(
    verifier: SignatureVerifier, provider: IdentityProvider, parameters: dict[str, Any]
) -> None:
    token = sign_any(provider, crit=[*parameters], **parameters)
    reason = "has critical header parameters, which are not supported"
    assert await result(verifier, token) == reason


@pytest.mark.parametrize("value", NO_STRINGS)
@pytest.mark.parametrize("name", ["kid", "typ", "jku"])
async def test_a_signed_token_with_a_malformed_header_is_rejected(
    verifier: SignatureVerifier, provider: IdentityProvider, name: str, value: Any
) -> None:
    token = sign_any(provider, **{name: value})
    assert await result(verifier, token) == "is malformed"


async def test_unknown_header_parameters_are_ignored(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    assert await result(verifier, sign(provider, provider.key, vendor="anything")) == ACCEPTED


async def test_a_long_header_with_certificates_is_accepted_up_to_the_limit(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    assert await result(verifier, sign(provider, provider.key, x5c=["A" * 2500])) == ACCEPTED
    reason = "has a header of more than 4096 bytes, or another part that is too long"
    assert await result(verifier, sign(provider, provider.key, x5c=["A" * 3500])) == reason


async def test_a_token_without_a_key_id_is_accepted_if_there_is_only_one_key(
    verifier: SignatureVerifier, provider: IdentityProvider
) -> None:
    token = jwt.encode({"alg": "RS256"}, CLAIMS, provider.key)
    assert await result(verifier, token) == ACCEPTED


async def test_a_huge_token_is_rejected(verifier: SignatureVerifier) -> None:
    reason = "is too long; at most 16384 bytes are accepted"
    assert await result(verifier, "a" * 20_000) == reason


async def test_malformed_tokens_are_rejected_with_a_reason_that_quotes_nothing(
    verifier: SignatureVerifier,
) -> None:
    for token in MALFORMED:
        reason = await result(verifier, token)
        assert reason not in (ACCEPTED, UNAVAILABLE), token
        assert len(token) < 5 or token not in reason


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"null", b"\xff", b"{", b"[" * 5000, b'{"exp":' + b"9" * 5000]
)
async def test_a_signed_token_without_claims_is_rejected(
    verifier: SignatureVerifier, provider: IdentityProvider, payload: bytes
) -> None:
    key = provider.key
    token = serialize_compact({"alg": "RS256", "kid": key.kid}, payload, key)
    assert await result(verifier, token) == "has no claims"
