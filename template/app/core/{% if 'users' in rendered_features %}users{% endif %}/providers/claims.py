"""What the claims of a provider mean for an account."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.core.models import utc_now
from app.core.users.addresses import normalize_email
from app.core.users.providers.settings import LoginProviderSettings

MAX_EMAIL = 254


@dataclass(frozen=True)
class ProvenIdentity:
    """A user of a provider, who has just logged in there."""

    issuer: str
    subject: str
    email: str | None
    """None if there is no address, or if nobody has verified it."""
    is_allowed: bool
    """Whether the settings accept the domain."""
    has_second_factor: bool
    authenticated_at: datetime | None
    """When the user proved who they are; None if the provider does not say so."""


def read_identity(claims: dict[str, Any], settings: LoginProviderSettings) -> ProvenIdentity:
    email = verified_email(claims, settings)
    return ProvenIdentity(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=email,
        is_allowed=is_allowed(claims, email, settings),
        has_second_factor=proves_second_factor(claims, settings),
        authenticated_at=authentication_time(claims),
    )


def verified_email(claims: dict[str, Any], settings: LoginProviderSettings) -> str | None:
    email = claims.get("email")
    flag = claims.get("email_verified", settings.trust_email)
    # Some providers send a string.
    is_verified = flag is True or flag == "true"
    if not is_verified or not isinstance(email, str) or len(email) > MAX_EMAIL:
        return None
    try:
        return normalize_email(email)
    except ValueError:
        return None


def is_allowed(claims: dict[str, Any], email: str | None, settings: LoginProviderSettings) -> bool:
    if not settings.allowed_domains:
        return True
    domain = email.rpartition("@")[2] if email else ""
    if settings.domain_claim:
        domain = str(claims.get(settings.domain_claim, "")).lower()
    return domain in settings.allowed_domains


def proves_second_factor(claims: dict[str, Any], settings: LoginProviderSettings) -> bool:
    methods = claims.get("amr")
    values = [claims.get("acr"), *(methods if isinstance(methods, list) else ())]
    return any(value in values for value in settings.second_factor)


def authentication_time(claims: dict[str, Any]) -> datetime | None:
    value = claims.get("auth_time")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return min(datetime.fromtimestamp(value, UTC), utc_now())
    except (OverflowError, OSError, ValueError):
        return None
