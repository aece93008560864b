"""Verification of access tokens; the reasons for a rejection quote nothing that tokens contain."""

from typing import Any

from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from app.core.auth.errors import UnauthorizedError
from app.core.errors import UnavailableError
from app.core.oidc.settings import OIDCSettings, normalize_type
from app.core.oidc.token_kinds import find_other_kind
from app.core.openid.claims import check_claims
from app.core.openid.keys import ProviderKeys
from app.core.openid.provider import ProviderError
from app.core.openid.signed_tokens import SignatureVerifier, TokenError

MAX_SUBJECT = 255


class InvalidTokenError(UnauthorizedError):
    """The access token is not accepted."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The access token {reason}.", invalid_token=True)


class TokenVerifier:
    """Verifies access tokens of the provider for this API."""

    def __init__(self, settings: OIDCSettings, keys: ProviderKeys) -> None:
        self.settings = settings
        self.token_types = {normalize_type(name) for name in settings.token_types}
        self.signatures = SignatureVerifier(
            keys,
            max_token_bytes=settings.max_token_bytes,
            max_header_bytes=settings.max_header_bytes,
        )
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
        try:
            header, claims = await self.signatures.verify(token)
            self._check_type(header)
            check_claims(claims, self.claims, self.settings.audience_claim)
            check_subject(claims["sub"])
            if kind := find_other_kind(header, claims, self.settings.scope_claims):
                raise TokenError(f"is {kind} instead of an access token")
        except TokenError as error:
            raise InvalidTokenError(str(error)) from None
        except ProviderError as error:
            raise UnavailableError(f"Access tokens cannot be verified: {error}.") from None
        return claims

    def _check_type(self, header: dict[str, Any]) -> None:
        if normalize_type(header.get("typ", "JWT")) not in self.token_types:
            accepted = ", ".join(self.settings.token_types)
            raise TokenError(f"has a header `typ` that is not accepted: {accepted}")


def check_subject(subject: str) -> None:
    if len(subject) > MAX_SUBJECT or not subject.isprintable():
        limit = MAX_SUBJECT
        raise TokenError(f"has a `sub` that is not printable, or longer than {limit}")
