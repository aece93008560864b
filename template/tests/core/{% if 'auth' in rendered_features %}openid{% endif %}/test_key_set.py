"""Keys of a key set: which ones verify signatures."""

from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from app.core.openid.key_set import usable_keys


def public(key: Key, **parameters: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "tested", **parameters}


RSA = RSAKey.generate_key(2048)
ELLIPTIC = ECKey.generate_key("P-256")
SHORT = {"kty": "RSA", "e": "AQAB", "n": "w7Zdfmece8iaB0kiTY8pCtiBtzbptJmP28nSWwtdjRu0f2GFpajvWE4V"}


@pytest.mark.parametrize(
    "data",
    [
        OctKey.generate_key(256).as_dict(kid="tested"),
        RSA.as_dict(private=True, kid="tested"),
        public(RSA, use="enc"),
        public(RSA, alg="RSA-OAEP"),
        public(RSA, alg="RS512"),
        public(RSA, key_ops=["encrypt"]),
        public(RSA, key_ops=7),
        public(RSA, n="x"),
        public(RSA, n=7),
        public(RSA, e=""),
        public(ECKey.generate_key("P-384")),
        public(OKPKey.generate_key("X25519")),
        public(OKPKey.generate_key("Ed25519")),
        public(ELLIPTIC, x="AAAA"),
        public(ELLIPTIC, crv="P-257"),
        SHORT,
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "kid": "tested"},
        {"kty": ["RSA"]},
        {"kty": None},
        {"kid": "tested"},
        {},
        "key",
        None,
        ["kty"],
    ],
)
def test_keys_that_verify_no_accepted_signature_are_ignored(data: Any) -> None:
    good = public(RSA, kid="good")
    found = usable_keys({"keys": [data, good]}, ["RS256", "ES256"])
    assert [key.kid for key in found] == ["good"]
