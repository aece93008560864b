"""What the application needs for accounts."""

from collections.abc import Collection, Mapping

from fastapi import FastAPI

from app.core.auth.private_responses import install_private_responses
from app.core.middleware.cors import CORSSettings
from app.core.settings import read_settings
from app.core.users.activity import install_session_activity
from app.core.users.csrf import TrustedOrigins
from app.core.users.openapi import add_cookie_scheme
from app.core.users.roles import RoleScopes
from app.core.users.settings import get_users_settings


def install_users(app: FastAPI, roles: Mapping[str, Collection[str]]) -> None:
    """Authenticate callers by sessions, with the scopes of their roles; raises SettingsError."""
    get_users_settings()
    app.state.role_scopes = RoleScopes(roles)
    app.state.trusted_origins = TrustedOrigins(read_settings(CORSSettings))
    install_session_activity(app)
    install_private_responses(app, vary="Authorization, Cookie")
    add_cookie_scheme(app)
