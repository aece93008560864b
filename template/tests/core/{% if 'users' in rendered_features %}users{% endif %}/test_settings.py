"""Settings of accounts that contradict each other, or cannot work, are named."""

import pytest

from app.core.settings import SettingsError, read_settings
from app.core.users.api_keys.settings import APIKeySettings
from app.core.users.settings import DAY, UsersSettings


@pytest.mark.parametrize("variables", [{"LIFETIME": 6 * DAY}, {"IDLE": 31 * DAY}], ids=str)
def test_a_session_lasts_at_least_as_long_as_it_may_be_idle(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, int]
) -> None:
    for name, seconds in variables.items():
        monkeypatch.setenv(f"USERS_SESSION_{name}", str(seconds))
    with pytest.raises(SettingsError, match=r"^USERS_SESSION_LIFETIME=.*: shorter than USERS_"):
        read_settings(UsersSettings)


@pytest.mark.parametrize("prefix", ["a b", "1a", "A", "a" * 21])
def test_an_invalid_prefix_of_api_keys_is_named(
    monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setenv("USERS_API_KEY_PREFIX", prefix)
    reason = f"USERS_API_KEY_PREFIX='{prefix}': expected up to 20 lower-case letters and digits"
    with pytest.raises(SettingsError, match=reason):
        read_settings(APIKeySettings)
