"""Tokens that a provider has signed; the reasons for a rejection quote nothing they contain."""

import json
from typing import Any, NamedTuple

from joserfc.errors import ExceededSizeError, JoseError
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from app.core.openid.keys import ProviderKeys


class TokenError(Exception):
    """The reason why a token is not accepted, such as "has expired"."""


class SignedToken(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]


class SignatureVerifier:
    """Verifies tokens with the provider's keys alone, never with those that a token names."""

    def __init__(self, keys: ProviderKeys, *, max_token_bytes: int, max_header_bytes: int) -> None:
        self.keys = keys
        self.max_token_bytes = max_token_bytes
        self.registry = JWSRegistry(algorithms=[*keys.algorithms], strict_check_header=False)
        self.registry.max_header_length = max_header_bytes

    async def verify(self, token: str) -> SignedToken:
        """Return the header and the claims of a token, which are the provider's, but not checked.

        Raises TokenError, and ProviderError if its key is not known yet.
        """
        signed = self._parse(token)
        header = signed.headers()
        self._check_header(header)
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
        except ExceededSizeError:
            limit = self.registry.max_header_length
            raise TokenError(
                f"has a header of more than {limit} bytes, or another part that is too long"
            ) from None
        except (JoseError, TypeError, ValueError, RecursionError):
            raise TokenError("is malformed") from None
        # The library also accepts a list or a string.
        if not isinstance(signed.headers(), dict):
            raise TokenError("is malformed")
        return signed

    def _check_header(self, header: dict[str, Any]) -> None:
        if "crit" in header:
            raise TokenError("has critical header parameters, which are not supported")
        try:
            self.registry.check_header(header)
        except JoseError:
            raise TokenError("is malformed") from None
        if header["alg"] not in self.keys.algorithms:
            accepted = ", ".join(self.keys.algorithms)
            raise TokenError(f"is not signed with an accepted algorithm: {accepted}")


def read_claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise TokenError("has no claims")
    return claims
