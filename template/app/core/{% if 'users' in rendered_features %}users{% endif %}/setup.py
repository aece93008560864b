"""What the application needs for accounts."""

from collections.abc import Collection, Mapping

from fastapi import FastAPI

from app.core.auth.private_responses import install_private_responses
from app.core.middleware.cors import CORSSettings
from app.core.settings import SettingsError, read_settings
from app.core.users import (
    account_router,
    administration_router,
    factor_router,
    login_router,
    second_step_router,
)
from app.core.users.activity import install_session_activity
from app.core.users.csrf import TrustedOrigins
from app.core.users.factor_settings import check_passkey_settings
from app.core.users.openapi import add_cookie_scheme
from app.core.users.passwords import get_password_hasher
from app.core.users.roles import RoleScopes
from app.core.users.settings import get_users_settings


def install_users(app: FastAPI, roles: Mapping[str, Collection[str]]) -> None:
    """Authenticate callers by sessions, with the scopes of their roles; raises SettingsError."""
    check_sign_up_roles(roles)
    # Now, because it computes a hash.
    get_password_hasher()
    check_passkey_settings()
    app.state.role_scopes = RoleScopes(roles)
    app.state.trusted_origins = TrustedOrigins(read_settings(CORSSettings))
    install_session_activity(app)
    install_private_responses(app, vary="Authorization, Cookie")
    add_cookie_scheme(app)
    for router in (
        login_router.router,
        second_step_router.router,
        account_router.router,
        factor_router.router,
        administration_router.router,
    ):
        app.include_router(router)


def check_sign_up_roles(roles: Collection[str]) -> None:
    """Raise SettingsError if accounts would be created with roles that do not exist."""
    if unknown := sorted({*get_users_settings().sign_up_roles} - {*roles}):
        known = ", ".join(roles)
        names = ", ".join(unknown)
        raise SettingsError(f"USERS_SIGN_UP_ROLES: unknown roles {names}; expected some of {known}")
