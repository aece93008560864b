"""The OpenID Connect provider whose tokens rendered projects accept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.applications import RESPONSE_TIMEOUT
from tests.support.real_provider import (
    AUDIENCE,
    DOCS,
    MACHINE,
    Provider,
    access_token,
    decode,
    new_verifier,
    require_provider,
    run_provider,
)

ORIGIN = "http://127.0.0.1:18000"
OTHER_AUDIENCE = "https://other.example.com"


@pytest.fixture(scope="module")
def packages(shared: Path) -> Path:
    return require_provider(shared)


@pytest.fixture(scope="module")
def provider(packages: Path) -> Iterator[Provider]:
    with run_provider(packages, redirect_uris=[f"{ORIGIN}/docs/oauth2-redirect"]) as provider:
        yield provider


def key_id(token: str) -> str:
    return str(decode(token)[0]["kid"])


def published(provider: Provider) -> set[str]:
    return {str(key["kid"]) for key in provider.public_keys()}


def test_discovery_document_names_the_issuer_and_public_keys(provider: Provider) -> None:
    document = provider.discover()
    assert document["issuer"] == provider.issuer == f"http://127.0.0.1:{provider.port}"
    assert document["code_challenge_methods_supported"] == ["S256"]
    [key] = provider.public_keys()
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    assert "d" not in key


def test_client_credentials_give_an_access_token_of_rfc_9068(provider: Provider) -> None:
    token = provider.token(["item:read"], OTHER_AUDIENCE)
    header, claims = decode(token)
    assert header == {"typ": "at+jwt", "alg": "RS256", "kid": provider.public_keys()[0]["kid"]}
    assert claims.keys() == {"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"}
    assert claims["iss"] == provider.issuer
    assert claims["sub"] == claims["client_id"] == MACHINE
    assert claims["aud"] == OTHER_AUDIENCE
    assert claims["scope"] == "item:read"
    assert decode(provider.token())[1]["scope"] == "item:read item:write"


def test_tokens_can_be_signed_with_es256(packages: Path) -> None:
    with run_provider(packages, algorithm="ES256") as provider:
        header, _ = decode(provider.token())
        [key] = provider.public_keys()
    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": key["kid"]}
    assert (key["kty"], key["crv"]) == ("EC", "P-256")


def test_code_flow_with_pkce_gives_a_token_of_the_user(provider: Provider) -> None:
    verifier = new_verifier()
    code = provider.log_in("alice", verifier, ["openid", "item:write"])
    response = provider.redeem(code, verifier)
    header, claims = decode(access_token(response))
    assert header["typ"] == "at+jwt"
    assert (claims["sub"], claims["client_id"]) == ("alice", DOCS)
    assert (claims["aud"], claims["scope"]) == (AUDIENCE, "item:write")
    assert decode(response.json()["id_token"])[1]["sub"] == "alice"
    assert decode(provider.user_token("bob"))[1]["sub"] == "bob"


def test_code_is_refused_with_a_wrong_verifier(provider: Provider) -> None:
    verifier = new_verifier()
    code = provider.log_in("alice", verifier)
    response = provider.redeem(code, new_verifier())
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert provider.redeem(code, verifier).ok


def test_default_audience_is_that_of_tokens_requested_without_a_resource(packages: Path) -> None:
    verifier = new_verifier()
    with run_provider(packages, default_audience=AUDIENCE) as provider:
        code = provider.log_in("alice", verifier, audience=None)
        token = access_token(provider.redeem(code, verifier))
        other = provider.user_token("alice", audience=OTHER_AUDIENCE)
    assert decode(token)[1]["aud"] == AUDIENCE
    assert decode(other)[1]["aud"] == OTHER_AUDIENCE


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, True), ("http://127.0.0.1:1", False)])
def test_only_the_origin_of_the_docs_may_redeem_codes(
    provider: Provider, origin: str, allowed: bool
) -> None:
    document = provider.discover()
    data = {"grant_type": "authorization_code", "client_id": DOCS, "code": "unknown"}
    headers = {"Origin": origin}
    answer = requests.post(
        document["token_endpoint"], data, headers=headers, timeout=RESPONSE_TIMEOUT
    )
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    for url in (f"{provider.issuer}/.well-known/openid-configuration", document["jwks_uri"]):
        answer = requests.get(url, headers=headers, timeout=RESPONSE_TIMEOUT)
        assert answer.headers["Access-Control-Allow-Origin"] == origin


def test_restart_keeps_the_port_and_the_keys(provider: Provider) -> None:
    before = (provider.issuer, key_id(provider.token()))
    provider.stop()
    with pytest.raises(requests.ConnectionError):
        provider.discover()
    provider.start()
    assert (provider.issuer, key_id(provider.token())) == before


def test_rotation_changes_the_signing_key_and_keeps_or_withdraws_old_ones(packages: Path) -> None:
    with run_provider(packages) as provider:
        issuer, first = provider.issuer, key_id(provider.token())
        provider.rotate_keys(keep_old=True)
        second = key_id(provider.token())
        assert published(provider) == {first, second}
        provider.algorithm = "ES256"
        provider.rotate_keys(keep_old=False)
        third = key_id(provider.token())
        assert published(provider) == {third}
        assert provider.issuer == issuer
    assert len({first, second, third}) == 3
