"""Checks of what a token says, after its signature was verified."""

from typing import Any

from joserfc.errors import ClaimError, ExpiredTokenError, InvalidClaimError, MissingClaimError
from joserfc.jwt import JWTClaimsRegistry

from app.core.openid.signed_tokens import TokenError

REASONS = {
    "iss": "is from another issuer",
    "exp": "has an invalid `exp`",
    "nbf": "is not valid yet, or has an invalid `nbf`",
    "iat": "was issued in the future, or has an invalid `iat`",
}


def check_claims(
    claims: dict[str, Any], expected: JWTClaimsRegistry, audience_claim: str = "aud"
) -> None:
    """Raise TokenError if claims differ from the expected ones, or if it is too early or late."""
    try:
        expected.validate(claims)
    except ClaimError as error:
        raise TokenError(describe(error, audience_claim)) from None


def describe(error: ClaimError, audience_claim: str) -> str:
    match error:
        case ExpiredTokenError():
            return "has expired"
        case MissingClaimError():
            return f"lacks a required claim: {error.claim.replace(',', ', ')}"
        case InvalidClaimError() if error.claim == audience_claim:
            return f"is meant for another audience, according to its `{error.claim}`"
    return REASONS.get(error.claim, f"has an invalid `{error.claim}`")
