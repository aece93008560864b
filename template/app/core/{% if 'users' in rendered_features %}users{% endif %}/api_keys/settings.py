"""Settings of API keys."""

import re
from functools import cache
from typing import Annotated

from pydantic import AfterValidator

from app.core.settings import EnvironmentSettings, read_settings
from app.core.users.settings import DAY, Lifetime

PREFIX = re.compile(r"[a-z][a-z0-9]{0,19}")


def check_prefix(prefix: str) -> str:
    """Return a prefix; raises ValueError for what scanners would not find."""
    if not PREFIX.fullmatch(prefix):
        raise ValueError("expected up to 20 lower-case letters and digits, a letter first")
    return prefix


class APIKeySettings(EnvironmentSettings, env_prefix="USERS_API_KEY_"):
    """API keys of accounts; see docs/api_keys.md."""

    lifetime: Lifetime = 90 * DAY
    """Seconds until a key expires, unless it is created with an earlier date."""
    prefix: Annotated[str, AfterValidator(check_prefix)] = "app"
    """How keys begin, by which scanners for secrets find those of this application."""


@cache
def get_api_key_settings() -> APIKeySettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(APIKeySettings)
