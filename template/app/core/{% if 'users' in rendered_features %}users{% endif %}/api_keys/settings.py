"""Settings of API keys."""

from functools import cache

from pydantic import Field

from app.core.settings import EnvironmentSettings, read_settings
from app.core.users.settings import DAY, Lifetime


class APIKeySettings(EnvironmentSettings, env_prefix="USERS_API_KEY_"):
    """API keys of accounts; see docs/api_keys.md."""

    lifetime: Lifetime = 90 * DAY
    """Seconds until a key expires, unless it is created with an earlier date."""
    prefix: str = Field(default="app", pattern=r"^[a-z][a-z0-9]{0,19}$")
    """How keys begin, by which scanners for secrets find those of this application."""


@cache
def get_api_key_settings() -> APIKeySettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(APIKeySettings)
