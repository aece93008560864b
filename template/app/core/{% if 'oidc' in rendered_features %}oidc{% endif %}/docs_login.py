"""The login of /docs: the authorization code flow with PKCE, by a public client."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from app.core.errors import UnavailableError
from app.core.oidc.settings import OIDCSettings
from app.core.oidc.state import OIDCState
from app.core.openid.provider import ProviderError
from app.core.openid.urls import check_provider_url

METADATA_PATH = "/docs/openid-configuration"


def install_docs_login(app: FastAPI) -> None:
    """Let /docs log in, if OIDC_DOCS_CLIENT_ID is set."""
    settings: OIDCSettings = app.state.oidc.settings
    app.add_route(METADATA_PATH, login_metadata, include_in_schema=False)
    if not settings.docs_client_id:
        return
    app.swagger_ui_init_oauth = {
        "clientId": settings.docs_client_id,
        "usePkceWithAuthorizationCodeGrant": True,
        "scopes": " ".join(settings.docs_scopes),
        # Auth0 requires it; others ignore it.
        "additionalQueryStringParams": {"audience": settings.audience[0]},
    }


async def login_metadata(request: Request) -> JSONResponse:
    """Return what Swagger UI needs of the provider's metadata, with its own scopes and flow."""
    state: OIDCState = request.app.state.oidc
    if not state.settings.docs_client_id:
        # Swagger UI asks anyway, and then offers no login.
        return JSONResponse({"grant_types_supported": []})
    try:
        endpoints = await login_endpoints(state)
    except ProviderError as error:
        raise UnavailableError(f"The login is unavailable: {error}.") from error
    flow = {"grant_types_supported": ["authorization_code"]}
    return JSONResponse(endpoints | flow | {"scopes_supported": state.settings.docs_scopes})


async def login_endpoints(state: OIDCState) -> dict[str, str]:
    """Return the endpoints of a login by name. Raises ProviderError."""
    metadata = await state.keys.find_metadata()
    names = ("authorization_endpoint", "token_endpoint")
    return {name: state.provider.endpoint(metadata, name) for name in names}


async def token_origins(app: FastAPI) -> list[str]:
    """Return the origins from which /docs gets tokens; none without a login."""
    state: OIDCState = app.state.oidc
    if not state.settings.docs_client_id:
        return []
    try:
        return [check_provider_url((await login_endpoints(state))["token_endpoint"])]
    except ProviderError:
        return []
