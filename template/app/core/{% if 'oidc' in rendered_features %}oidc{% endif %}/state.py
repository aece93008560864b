"""What an application knows of its provider: settings, keys, and how it identifies callers."""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType

from app.core.auth.principal import Principal
from app.core.oidc.cache import VerifiedTokens
from app.core.oidc.claims import granted_scopes
from app.core.oidc.settings import OIDCSettings
from app.core.oidc.tokens import TokenVerifier
from app.core.openid.keys import ProviderKeys
from app.core.openid.provider import Provider


class OIDCState:
    """The state of one application, in `app.state.oidc`."""

    def __init__(self, settings: OIDCSettings, roles: Mapping[str, Collection[str]]) -> None:
        self.settings = settings
        self.roles = roles
        self.provider = Provider(settings.issuer, settings.timeout, issuer_variable="OIDC_ISSUER")
        self.keys = ProviderKeys(
            self.provider, settings.algorithms, refetch_cooldown=settings.refetch_cooldown
        )
        self.verifier = TokenVerifier(settings, self.keys)
        self.verified = VerifiedTokens(settings.cache_size)

    def with_current_keys(self) -> AbstractAsyncContextManager[None]:
        """Fetch the provider's keys in the background, until the block ends."""
        return self.keys.kept_current(self.settings.keys_lifetime)

    async def identify(self, token: str) -> Principal:
        """Return the caller. Raises InvalidTokenError, or UnavailableError without keys."""
        if caller := self.verified.find(token, self.keys.version):
            return caller
        claims = await self.verifier.verify(token)
        scopes = granted_scopes(claims, self.settings, self.roles)
        # Read-only, because later requests get the same object.
        caller = Principal(claims["sub"], scopes, MappingProxyType(claims))
        self.verified.add(token, self.keys.version, caller, expiry=claims["exp"])
        return caller
