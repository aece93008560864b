"""A provider with which users log in: the application is its OpenID Connect client."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import urlencode

from app.core.openid.keys import ProviderKeys
from app.core.openid.provider import Document, Provider
from app.core.users.providers.claims import ProvenIdentity, read_identity
from app.core.users.providers.id_tokens import IDTokens
from app.core.users.providers.secrets import LoginSecrets
from app.core.users.providers.settings import LoginProviderSettings, variable_prefix
from app.core.users.providers.token_endpoint import request_tokens, request_user_info
from app.core.users.settings import get_users_settings

# Seconds after which metadata and keys are fetched again, before a login.
DOCUMENTS_LIFETIME = 3600
# Minimum seconds between fetches because of an unknown key.
REFETCH_COOLDOWN = 30

IsLinked: TypeAlias = Callable[[ProvenIdentity], Awaitable[bool]]


class LoginProvider:
    def __init__(self, name: str, settings: LoginProviderSettings) -> None:
        self.name = name
        self.settings = settings
        self.provider = Provider(
            settings.issuer,
            settings.timeout,
            issuer_variable=f"{variable_prefix(name)}ISSUER",
        )
        self.keys = ProviderKeys(
            self.provider, settings.algorithms, refetch_cooldown=REFETCH_COOLDOWN
        )
        self.id_tokens = IDTokens(settings, self.keys)

    @property
    def label(self) -> str:
        return self.settings.label or self.name

    @property
    def redirect_uri(self) -> str:
        """The page of the web application to which the provider returns; never of a request."""
        return f"{get_users_settings().link_url}/login/{self.name}"

    async def authorization_url(self, secrets: LoginSecrets, *, is_renewal: bool) -> str:
        """Return where the browser goes to log in. Raises ProviderError."""
        endpoint = self.provider.endpoint(await self._metadata(), "authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": secrets.state,
            "nonce": secrets.nonce,
            "code_challenge": secrets.code_challenge,
            "code_challenge_method": "S256",
            # Makes the provider send `auth_time`, when the user has last logged in there.
            "max_age": 0 if is_renewal else get_users_settings().session_lifetime,
        }
        if is_renewal:
            query["prompt"] = "login"
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def is_response_issuer(self, issuer: str | None) -> bool:
        """Return whether the parameter `iss` of a response is right. Raises ProviderError.

        https://www.rfc-editor.org/rfc/rfc9207
        """
        if issuer is not None:
            return issuer == self.settings.issuer
        metadata = await self._metadata()
        return metadata.get("authorization_response_iss_parameter_supported") is not True

    async def redeem(self, code: str, secrets: LoginSecrets, is_linked: IsLinked) -> ProvenIdentity:
        """Return the user of a code; `is_linked` says whether one already has an account.

        Raises ProviderError, CodeRejectedError, and TokenError for an invalid ID token.
        """
        metadata = await self._metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": secrets.code_verifier,
        }
        tokens = await request_tokens(self.provider, self.settings, metadata, form)
        claims = await self.id_tokens.verify(str(tokens.get("id_token")), secrets.nonce)
        if "email" not in claims and await self._needs_email(claims, is_linked):
            found = await request_user_info(self.provider, metadata, tokens, claims["sub"])
            # Nothing else, as it is not signed.
            about_email = ("email", "email_verified", self.settings.domain_claim)
            claims |= {name: found[name] for name in about_email if name in found}
        return read_identity(claims, self.settings)

    async def _needs_email(self, claims: dict[str, Any], is_linked: IsLinked) -> bool:
        """Return whether the login depends on more than the subject.

        An endpoint for user info that fails then locks out no others.
        """
        settings = self.settings
        if settings.allowed_domains and settings.domain_claim not in claims:
            return True
        return not await is_linked(read_identity(claims, settings))

    async def _metadata(self) -> Document:
        return await self.keys.find_metadata(DOCUMENTS_LIFETIME)
