"""Callers with access tokens of an OpenID Connect provider; see docs/oidc.md."""

from collections.abc import Collection, Mapping

from fastapi import FastAPI

from app.core.auth.garbage_collection import install_garbage_collection
from app.core.auth.private_responses import install_private_responses
from app.core.oidc.settings import OIDCSettings
from app.core.oidc.state import OIDCState
from app.core.settings import read_settings


def install_oidc(app: FastAPI, roles: Mapping[str, Collection[str]]) -> None:
    """Identify callers by their tokens; `roles` lists the scopes of each. Raises SettingsError."""
    app.state.oidc = OIDCState(read_settings(OIDCSettings), roles)
    install_garbage_collection(app)
    install_private_responses(app, vary="Authorization")
