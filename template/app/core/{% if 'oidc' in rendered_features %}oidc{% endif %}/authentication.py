"""Callers that send an access token in the header `Authorization: Bearer …`."""

from fastapi.openapi.models import OpenIdConnect
from fastapi.requests import HTTPConnection
from starlette.datastructures import Headers

from app.core.auth.authentication import Authentication
from app.core.auth.errors import CredentialsMissingError, UnauthorizedError
from app.core.auth.principal import Principal
from app.core.oidc.docs_login import METADATA_PATH
from app.core.oidc.state import OIDCState


class OIDCAuthentication(Authentication):
    def __init__(self) -> None:
        # Relative to the OpenAPI document, which does not depend on the environment.
        url = METADATA_PATH.removeprefix("/")
        self.model = OpenIdConnect(openIdConnectUrl=url)
        self.scheme_name = "oidc"

    async def identify(self, connection: HTTPConnection) -> Principal:
        state: OIDCState = connection.app.state.oidc
        return await state.identify(bearer_token(connection.headers))


def bearer_token(headers: Headers) -> str:
    """Return the token of the only `Authorization` header. Raises UnauthorizedError."""
    values = headers.getlist("Authorization")
    if not values:
        raise CredentialsMissingError("The header `Authorization: Bearer …` is missing.")
    if len(values) > 1:
        raise UnauthorizedError("There is more than one `Authorization` header.")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthorizedError("The `Authorization` header must have the form `Bearer …`.")
    return token.strip()


authenticate = OIDCAuthentication()
