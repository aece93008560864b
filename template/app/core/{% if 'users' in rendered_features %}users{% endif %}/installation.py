"""What the application needs for accounts."""

from collections.abc import Collection, Mapping

from fastapi import FastAPI

from app.core.auth.garbage_collection import install_garbage_collection
from app.core.auth.private_responses import install_private_responses
from app.core.middleware.cors import CORSSettings
from app.core.settings import SettingsError, read_settings
from app.core.users import account_router, administration_router, login_router, session_router
from app.core.users.activity import install_activity
from app.core.users.api_keys import router as api_keys_router
from app.core.users.api_keys.settings import get_api_key_settings
from app.core.users.csrf import TrustedOrigins
from app.core.users.factors import router as factors_router
from app.core.users.factors import second_step_router
from app.core.users.factors.settings import check_passkey_settings
from app.core.users.openapi import add_cookie_scheme
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.providers import identity_router
from app.core.users.providers import router as providers_router
from app.core.users.providers.login_providers import install_login_providers
from app.core.users.roles import RoleScopes
from app.core.users.settings import get_users_settings

ROUTERS = (
    login_router,
    second_step_router,
    session_router,
    account_router,
    factors_router,
    administration_router,
    api_keys_router,
    providers_router,
    identity_router,
)


def install_users(app: FastAPI, roles: Mapping[str, Collection[str]]) -> None:
    """Authenticate callers by sessions, with the scopes of their roles; raises SettingsError."""
    check_sign_up_roles(roles)
    get_api_key_settings()
    install_login_providers(app)
    # Now, because it computes a hash.
    get_password_hasher()
    check_passkey_settings()
    app.state.role_scopes = RoleScopes(roles)
    app.state.trusted_origins = TrustedOrigins(read_settings(CORSSettings))
    install_garbage_collection(app)
    install_activity(app)
    install_private_responses(app, vary="Authorization, Cookie")
    add_cookie_scheme(app)
    for module in ROUTERS:
        app.include_router(module.router)


def check_sign_up_roles(roles: Collection[str]) -> None:
    """Raise SettingsError if accounts would be created with roles that do not exist."""
    if unknown := sorted({*get_users_settings().sign_up_roles} - {*roles}):
        known = ", ".join(roles)
        names = ", ".join(unknown)
        raise SettingsError(f"USERS_SIGN_UP_ROLES: unknown roles {names}; expected some of {known}")
