"""Settings of the OpenID Connect providers with which users log in."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from app.core.openid.settings import Algorithms, Issuer
from app.core.settings import CommaSeparated, EnvironmentSettings, Seconds, read_settings

NAME = re.compile(r"[a-z][a-z0-9]{0,19}")


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"invalid name {name!r}; expected letters and digits, such as google")
    if len({*names}) < len(names):
        raise ValueError("each name must be different")
    return names


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if "openid" not in scopes:
        raise ValueError("`openid` is missing, without which there is no ID token")
    return scopes


def lower_case(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


class LoginProvidersSettings(EnvironmentSettings, env_prefix="USERS_"):
    """Logins with other providers; see docs/social_login.md."""

    providers: Annotated[CommaSeparated, AfterValidator(check_names)] = ()
    """Names of providers, such as `google,corp`; each has the variables of "Login provider"."""


class LoginProviderSettings(EnvironmentSettings, env_prefix="USERS_PROVIDER_NAME_"):
    """One of USERS_PROVIDERS, with its name in upper-case letters instead of NAME."""

    issuer: Issuer
    """URL of the provider, exactly as in the tokens' claim `iss`, with or without a final slash."""
    client_id: str
    """Client that is registered with the provider for this application."""
    client_secret: SecretStr | None = None
    """Secret of the client; a public client has none."""
    label: str = ""
    """Name that login pages show; by default, that of USERS_PROVIDERS."""
    scopes: Annotated[CommaSeparated, AfterValidator(check_scopes)] = ("openid", "email")
    """Scopes that are asked for."""
    allowed_domains: Annotated[CommaSeparated, AfterValidator(lower_case)] = ()
    """Domains of verified addresses that may log in; any if this is empty."""
    domain_claim: str = ""
    """Claim that is compared with the domains instead, such as `hd` of Google."""
    trust_email: bool = False
    """Whether addresses without `email_verified` count as verified; only for your own directory."""
    second_factor: CommaSeparated = ()
    """Values of `acr` or `amr` that prove a second factor, such as `mfa`; none by default."""
    algorithms: Algorithms = ("RS256", "ES256")
    """Accepted signature algorithms of ID tokens."""
    timeout: Seconds = 5
    """Seconds to wait for each response of the provider."""


def read_provider_settings() -> dict[str, LoginProviderSettings]:
    """Return the settings of all providers by their names. Raises SettingsError."""
    return {name: _read(name) for name in read_settings(LoginProvidersSettings).providers}


def variable_prefix(name: str) -> str:
    return f"USERS_PROVIDER_{name.upper()}_"


def _read(name: str) -> LoginProviderSettings:
    class NamedSettings(LoginProviderSettings, env_prefix=variable_prefix(name)):
        pass

    return read_settings(NamedSettings)
