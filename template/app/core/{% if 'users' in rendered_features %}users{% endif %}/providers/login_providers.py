"""The providers with which users log in."""

from fastapi import FastAPI

from app.core.errors import NotFoundError
from app.core.users.providers.client import LoginProvider
from app.core.users.providers.settings import read_provider_settings


class LoginProviders:
    """The providers of an application, in `app.state.login_providers`."""

    def __init__(self, providers: dict[str, LoginProvider]) -> None:
        self.by_name = providers

    def get(self, name: str) -> LoginProvider:
        if (provider := self.by_name.get(name)) is None:
            raise NotFoundError("provider", name)
        return provider

    @property
    def issuers(self) -> dict[str, str]:
        """The labels of the providers by their issuers."""
        return {each.settings.issuer: each.label for each in self.by_name.values()}


def install_login_providers(app: FastAPI) -> None:
    """Read the settings of providers. Raises SettingsError."""
    settings = read_provider_settings()
    providers = {name: LoginProvider(name, each) for name, each in settings.items()}
    app.state.login_providers = LoginProviders(providers)
