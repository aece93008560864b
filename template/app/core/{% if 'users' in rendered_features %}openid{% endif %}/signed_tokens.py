"""Tokens that a provider has signed; the reasons for a rejection quote nothing they contain."""

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from joserfc.errors import ExceededSizeError, JoseError
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from app.core.openid.keys import ProviderKeys

# Anyone who can verify a symmetric signature can forge one.
ALGORITHMS = [
    name
    for name, algorithm in JWSRegistry.algorithms.items()
    if name != "none" and algorithm.key_type != "oct"
]


class TokenError(Exception):
    """The reason why a token is not accepted, such as "has expired"."""


class SignedToken(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]


class TokenSignatures:
    """Verifies tokens with the provider's keys alone, never with those that a token names."""

    def __init__(
        self,
        keys: ProviderKeys,
        algorithms: Collection[str],
        *,
        max_token_bytes: int,
        max_header_bytes: int,
    ) -> None:
        self.keys = keys
        self.algorithms = algorithms
        self.max_token_bytes = max_token_bytes
        self.registry = JWSRegistry(algorithms=[*algorithms], strict_check_header=False)
        self.registry.max_header_length = max_header_bytes

    async def verify(self, token: str) -> SignedToken:
        """Return the header and the claims of a token, which are those of the provider.

        Raises TokenError, and UnavailableError if its key is not known yet.
        """
        signed = self._parse(token)
        header = signed.headers()
        if "crit" in header:
            raise TokenError("has critical header parameters, which are not supported")
        if header["alg"] not in self.algorithms:
            accepted = ", ".join(self.algorithms)
            raise TokenError(f"is not signed with an accepted algorithm: {accepted}")
        key = await self.keys.find(header.get("kid"), header["alg"])
        if key is None:
            raise TokenError("is signed with an unknown key")
        try:
            is_valid = validate_compact(signed, key, registry=self.registry)
        except JoseError:
            raise TokenError("does not fit its key") from None
        if not is_valid:
            raise TokenError("has an invalid signature")
        return SignedToken(header, read_claims(signed.payload))

    def _parse(self, token: str) -> CompactSignature:
        if len(token) > self.max_token_bytes:
            raise TokenError(f"is too long; at most {self.max_token_bytes} bytes are accepted")
        try:
            signed = extract_compact(token.encode("ascii"), registry=self.registry)
            if not isinstance(signed.headers(), dict):
                raise TypeError
            # Here, as it raises the same errors for malformed values.
            self.registry.check_header(signed.headers())
        except ExceededSizeError:
            limit = self.registry.max_header_length
            raise TokenError(
                f"has a header of more than {limit} bytes, or another part that is too long"
            ) from None
        except (JoseError, AttributeError, TypeError, ValueError, RecursionError):
            raise TokenError("is malformed") from None
        return signed


def read_claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise TokenError("has no claims")
    return claims
