"""Verification of access tokens; the reasons for a rejection quote nothing that tokens contain."""

import json
from typing import Any

from joserfc.errors import (
    ClaimError,
    ExceededSizeError,
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingClaimError,
)
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from app.core.auth.errors import UnauthorizedError
from app.core.oidc.keys import ProviderKeys
from app.core.oidc.settings import OIDCSettings, normalize_type
from app.core.oidc.token_kinds import find_other_kind

MAX_SUBJECT = 255
REASONS = {
    "iss": "is from another issuer",
    "exp": "has an invalid `exp`",
    "nbf": "is not valid yet, or has an invalid `nbf`",
    "iat": "was issued in the future, or has an invalid `iat`",
}


class InvalidTokenError(UnauthorizedError):
    """The access token is not accepted."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The access token {reason}.", invalid_token=True)


class TokenVerifier:
    """Verifies tokens with the provider's keys alone, never with those that a token names."""

    def __init__(self, settings: OIDCSettings, keys: ProviderKeys) -> None:
        self.settings = settings
        self.keys = keys
        self.token_types = {normalize_type(name) for name in settings.token_types}
        self.registry = JWSRegistry(algorithms=settings.algorithms, strict_check_header=False)
        self.registry.max_header_length = settings.max_header_bytes
        required: dict[str, ClaimsOption] = {
            "iss": {"essential": True, "value": settings.issuer},
            "exp": {"essential": True},
            "sub": {"essential": True},
            settings.audience_claim: {"essential": True, "values": [*settings.audience]},
        }
        self.claims = JWTClaimsRegistry(None, settings.clock_skew, **required)

    async def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of an access token.

        Raises InvalidTokenError, and UnavailableError if its key is not known yet.
        """
        signed = self._parse(token)
        header = signed.headers()
        self._check_header(header)
        key = await self.keys.find(header.get("kid"), header["alg"])
        if key is None:
            raise InvalidTokenError("is signed with an unknown key")
        try:
            is_valid = validate_compact(signed, key, registry=self.registry)
        except JoseError:
            raise InvalidTokenError("does not fit its key") from None
        if not is_valid:
            raise InvalidTokenError("has an invalid signature")
        return self._check_claims(header, signed.payload)

    def _parse(self, token: str) -> CompactSignature:
        limit = self.settings.max_token_bytes
        if len(token) > limit:
            raise InvalidTokenError(f"is too long; at most {limit} bytes are accepted")
        try:
            signed = extract_compact(token.encode("ascii"), registry=self.registry)
        except ExceededSizeError:
            limit = self.settings.max_header_bytes
            raise InvalidTokenError(
                f"has a header of more than {limit} bytes, or another part that is too long"
            ) from None
        except (JoseError, TypeError, ValueError, RecursionError):
            raise InvalidTokenError("is malformed") from None
        # The library also accepts a list or a string.
        if not isinstance(signed.headers(), dict):
            raise InvalidTokenError("is malformed")
        return signed

    def _check_header(self, header: dict[str, Any]) -> None:
        if "crit" in header:
            raise InvalidTokenError("has critical header parameters, which are not supported")
        try:
            self.registry.check_header(header)
        except JoseError:
            raise InvalidTokenError("is malformed") from None
        if header["alg"] not in self.settings.algorithms:
            accepted = ", ".join(self.settings.algorithms)
            raise InvalidTokenError(f"is not signed with an accepted algorithm: {accepted}")
        if normalize_type(header.get("typ", "JWT")) not in self.token_types:
            accepted = ", ".join(self.settings.token_types)
            raise InvalidTokenError(f"has a header `typ` that is not accepted: {accepted}")

    def _check_claims(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        try:
            claims = json.loads(payload)
        except (ValueError, RecursionError):
            claims = None
        if not isinstance(claims, dict):
            raise InvalidTokenError("has no claims")
        try:
            self.claims.validate(claims)
        except ClaimError as error:
            raise InvalidTokenError(self._describe(error)) from None
        subject = claims["sub"]
        if len(subject) > MAX_SUBJECT or not subject.isprintable():
            limit = MAX_SUBJECT
            raise InvalidTokenError(f"has a `sub` that is not printable, or longer than {limit}")
        if kind := find_other_kind(header, claims, self.settings.scope_claims):
            raise InvalidTokenError(f"is {kind} instead of an access token")
        return claims

    def _describe(self, error: ClaimError) -> str:
        match error:
            case ExpiredTokenError():
                return "has expired"
            case MissingClaimError():
                return f"lacks a required claim: {error.claim.replace(',', ', ')}"
            case InvalidClaimError(claim=self.settings.audience_claim):
                return f"is meant for another audience, according to its `{error.claim}`"
        return REASONS.get(error.claim, f"has an invalid `{error.claim}`")
