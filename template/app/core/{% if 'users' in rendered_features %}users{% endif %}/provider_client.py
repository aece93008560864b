"""A provider with which users log in: the application is its OpenID Connect client."""

from base64 import b64encode
from typing import Any
from urllib.parse import quote_plus, urlencode

import structlog

from app.core.auth.errors import UnauthorizedError
from app.core.openid.keys import ProviderKeys
from app.core.openid.provider import Document, Provider
from app.core.openid.signed_tokens import TokenError
from app.core.users.id_tokens import IDTokens
from app.core.users.provider_claims import ProvenIdentity, read_identity
from app.core.users.provider_secrets import LoginSecrets
from app.core.users.provider_settings import LoginProviderSettings
from app.core.users.settings import get_users_settings

# Seconds after which metadata and keys are fetched again, before a login.
DOCUMENTS_LIFETIME = 3600
# Minimum seconds between fetches because of an unknown key.
REFETCH_COOLDOWN = 30

logger = structlog.get_logger("app.users")


class CodeRejectedError(UnauthorizedError):
    """The provider does not accept the code of a login."""

    def __init__(self) -> None:
        super().__init__("The provider has rejected the login; start it again.")


class LoginProvider:
    def __init__(self, name: str, settings: LoginProviderSettings) -> None:
        self.name = name
        self.settings = settings
        self.provider = Provider(settings.issuer, settings.timeout)
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

    async def check_issuer(self, issuer: str | None) -> None:
        """Raise TokenError if a response comes from another provider.

        https://www.rfc-editor.org/rfc/rfc9207
        """
        metadata = await self._metadata()
        is_expected = metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer != self.settings.issuer and (issuer is not None or is_expected):
            raise TokenError("comes with the `iss` of another provider, or without one")

    async def redeem(self, code: str, secrets: LoginSecrets) -> ProvenIdentity:
        """Return the user of a code.

        Raises ProviderError, CodeRejectedError, TokenError for an invalid ID token, and
        UnavailableError if the provider's keys are not known yet.
        """
        metadata = await self._metadata()
        answer = await self._request_tokens(metadata, code, secrets.code_verifier)
        claims = await self.id_tokens.verify(str(answer.get("id_token")), secrets.nonce)
        if "email" not in claims:
            claims |= await self._user_info(metadata, answer, claims["sub"])
        return read_identity(claims, self.settings)

    async def _metadata(self) -> Document:
        return await self.keys.find_metadata(DOCUMENTS_LIFETIME)

    async def _request_tokens(self, metadata: Document, code: str, verifier: str) -> Document:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        client, headers = self._client_authentication(metadata)
        status, answer = await self.provider.request(
            "POST",
            self.provider.endpoint(metadata, "token_endpoint"),
            accepted=(200, 400, 401),
            data=form | client,
            headers=headers,
        )
        if status != 200:
            # For the operator: `invalid_client`, for example, is an error in the settings.
            error = str(answer.get("error"))[:40]
            logger.warning("provider rejected a code", provider=self.name, error=error)
            raise CodeRejectedError
        return answer

    def _client_authentication(self, metadata: Document) -> tuple[dict[str, str], dict[str, str]]:
        """Return the fields of the form and the headers that authenticate the client."""
        client_id, secret = self.settings.client_id, self.settings.client_secret
        if secret is None:
            return {"client_id": client_id}, {}
        value = secret.get_secret_value()
        methods = metadata.get("token_endpoint_auth_methods_supported")
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            return {"client_id": client_id, "client_secret": value}, {}
        credentials = f"{quote_plus(client_id)}:{quote_plus(value)}"
        return {}, {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}

    async def _user_info(
        self, metadata: Document, answer: Document, subject: str
    ) -> dict[str, Any]:
        """Return the claims about the address, which many ID tokens lack."""
        token = answer.get("access_token")
        if "userinfo_endpoint" not in metadata or not isinstance(token, str):
            return {}
        url = self.provider.endpoint(metadata, "userinfo_endpoint")
        headers = {"Authorization": f"Bearer {token}"}
        _, claims = await self.provider.request("GET", url, headers=headers)
        if claims.get("sub") != subject:
            raise TokenError("belongs to another user than the user info")
        found = ("email", "email_verified", self.settings.domain_claim)
        return {name: claims[name] for name in found if name in claims}
