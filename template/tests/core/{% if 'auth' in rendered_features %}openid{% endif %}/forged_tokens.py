"""Tokens that a library refuses to make."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any


def encode(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a token without the dot that precedes its signature."""
    return f"{encode(header)}.{encode(claims)}"


def symmetric_token(claims: Mapping[str, Any], secret: bytes, **header: Any) -> str:
    """Return a token that is signed with a secret, such as a public key."""
    unsigned = unsigned_token({"alg": "HS256"} | header, claims)
    return f"{unsigned}.{encode(hmac.digest(secret, unsigned.encode(), 'sha256'))}"


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
