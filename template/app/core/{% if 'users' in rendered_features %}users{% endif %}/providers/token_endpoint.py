"""Requests to the token endpoint of a provider, and for what its tokens give access to."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import structlog

from app.core.auth.errors import UnauthorizedError
from app.core.openid.provider import Document, Provider
from app.core.openid.signed_tokens import TokenError
from app.core.users.providers.settings import LoginProviderSettings

logger = structlog.get_logger("app.users")


class CodeRejectedError(UnauthorizedError):
    """The provider does not accept the code of a login."""

    def __init__(self) -> None:
        super().__init__("The provider has rejected the login; start it again.")


async def request_tokens(
    provider: Provider, settings: LoginProviderSettings, metadata: Document, form: Mapping[str, str]
) -> Document:
    """Return the tokens for a code. Raises ProviderError and CodeRejectedError."""
    client, headers = client_authentication(settings, metadata)
    status, answer = await provider.post(
        provider.endpoint(metadata, "token_endpoint"),
        (200, 400, 401),
        data={**form, **client},
        headers=headers,
    )
    if status != 200:
        # For the operator: `invalid_client`, for example, is an error in the settings.
        error = str(answer.get("error"))[:40]
        logger.warning("provider rejected a code", issuer=provider.issuer, error=error)
        raise CodeRejectedError
    return answer


def client_authentication(
    settings: LoginProviderSettings, metadata: Document
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields of the form and the headers that authenticate the client."""
    client_id, secret = settings.client_id, settings.client_secret
    if secret is None:
        return {"client_id": client_id}, {}
    value = secret.get_secret_value()
    methods = metadata.get("token_endpoint_auth_methods_supported")
    if isinstance(methods, list) and "client_secret_basic" not in methods:
        return {"client_id": client_id, "client_secret": value}, {}
    credentials = f"{quote_plus(client_id)}:{quote_plus(value)}"
    return {}, {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


async def request_user_info(
    provider: Provider, metadata: Document, tokens: Document, subject: str
) -> dict[str, Any]:
    """Return the claims about a user that ID tokens may lack; none if there is no such endpoint.

    Raises ProviderError, and TokenError if they are about another user.
    """
    token = tokens.get("access_token")
    if "userinfo_endpoint" not in metadata or not isinstance(token, str):
        return {}
    url = provider.endpoint(metadata, "userinfo_endpoint")
    headers = {"Authorization": f"Bearer {token}"}
    claims = await provider.get(url, headers=headers)
    if claims.get("sub") != subject:
        raise TokenError("belongs to another user than the user info")
    return dict(claims)
