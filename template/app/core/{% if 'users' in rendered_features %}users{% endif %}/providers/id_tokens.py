"""ID tokens: what a provider says about a user that it has logged in for this application.

https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

import hmac
from typing import Any

from joserfc.jwt import JWTClaimsRegistry

from app.core.openid.claims import check_claims
from app.core.openid.keys import ProviderKeys
from app.core.openid.signed_tokens import SignatureVerifier, TokenError
from app.core.users.providers.settings import LoginProviderSettings

# Seconds by which the clocks of the provider and of this server may differ.
CLOCK_SKEW = 30
MAX_TOKEN_BYTES = 64 * 1024
MAX_HEADER_BYTES = 4096
MAX_SUBJECT = 255


class IDTokens:
    """Verifies the ID tokens of one provider for one client."""

    def __init__(self, settings: LoginProviderSettings, keys: ProviderKeys) -> None:
        self.client_id = settings.client_id
        self.signatures = SignatureVerifier(
            keys, max_token_bytes=MAX_TOKEN_BYTES, max_header_bytes=MAX_HEADER_BYTES
        )
        self.claims = JWTClaimsRegistry(
            None,
            CLOCK_SKEW,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    async def verify(self, token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of a token for the login with this nonce.

        Raises TokenError, and ProviderError if the provider's keys are not known yet.
        """
        _, claims = await self.signatures.verify(token)
        check_claims(claims, self.claims)
        self._check_client(claims)
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise TokenError("belongs to another login, according to its `nonce`")
        check_subject(claims["sub"])
        return claims

    def _check_client(self, claims: dict[str, Any]) -> None:
        audience, client = claims["aud"], claims.get("azp")
        if client is None and isinstance(audience, list) and len(audience) > 1:
            raise TokenError("has several audiences, and no `azp`")
        if client is not None and client != self.client_id:
            raise TokenError("was issued to another client, according to its `azp`")


def check_subject(subject: str) -> None:
    """Raise TokenError unless databases store and compare a subject as it is."""
    is_plain = subject.isascii() and subject.isprintable() and subject == subject.strip()
    if not is_plain or len(subject) > MAX_SUBJECT:
        raise TokenError(f"has a `sub` that is not printable ASCII of up to {MAX_SUBJECT} letters")
