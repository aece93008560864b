"""Which provider issues access tokens, and what a token must look like."""

from typing import Annotated

from pydantic import Field

from app.core.openid.settings import Algorithms, Issuer
from app.core.settings import CommaSeparated, EnvironmentSettings, Seconds


def normalize_type(name: str) -> str:
    """Return a media type as the header `typ` of a token may abbreviate it, in lowercase."""
    return name.lower().removeprefix("application/")


class OIDCSettings(EnvironmentSettings, env_prefix="OIDC_"):
    """The OpenID Connect provider whose access tokens are accepted; see docs/oidc.md."""

    issuer: Issuer
    """URL of the provider, exactly as in the tokens' claim `iss`, with or without a final slash."""
    audience: Annotated[CommaSeparated, Field(min_length=1)]
    """Names of this API in the tokens' audience; one of them is enough."""
    audience_claim: str = "aud"
    """Claim with the audience; `client_id` for Cognito, which has no other."""
    algorithms: Algorithms = ("RS256", "ES256")
    """Accepted signature algorithms."""
    token_types: Annotated[CommaSeparated, Field(min_length=1)] = ("at+jwt", "JWT")
    """Accepted values of the header `typ`; a token without one counts as `JWT`."""
    clock_skew: int = Field(default=30, ge=0, le=600)
    """Seconds by which the clocks of the provider and of this server may differ."""
    max_token_bytes: int = Field(default=16_384, ge=1)
    """Maximum size of a token in bytes."""
    max_header_bytes: int = Field(default=4096, ge=1)
    """Maximum size of a token's encoded header in bytes."""
    scope_claims: CommaSeparated = ("scope", "scp")
    """Claims with scopes: a string with spaces between them, or a list."""
    scope_prefix: str = ""
    """Prefix that scopes have in tokens, such as `api/`; scopes without it are then ignored."""
    role_claims: CommaSeparated = ()
    """Claims with roles of app/roles.py, such as `realm_access.roles`; none are read by default."""
    cache_size: int = Field(default=1000, ge=0)
    """Verified tokens that each process remembers until they expire; 0 verifies each one again."""
    keys_lifetime: Seconds = 3600
    """Seconds after which the provider's keys are fetched again, in the background."""
    refetch_cooldown: Seconds = 30
    """Minimum seconds between fetches because of tokens whose key is unknown."""
    timeout: Seconds = 5
    """Seconds to wait for each response of the provider."""
    docs_client_id: str = ""
    """Public client with which /docs logs in; /docs has no login if this is empty."""
    docs_scopes: CommaSeparated = ("openid",)
    """Scopes that /docs asks the provider for."""
