"""Settings of providers: errors name the variable, and never show a secret."""

import pytest

from app.core.settings import SettingsError
from app.core.users.providers.settings import read_provider_settings
from tests.core.users.providers.corp_provider import SECRET

CORP = {
    "USERS_PROVIDERS": "corp",
    "USERS_PROVIDER_CORP_ISSUER": "https://id.example.com/realms/main",
    "USERS_PROVIDER_CORP_CLIENT_ID": "app",
    "USERS_PROVIDER_CORP_CLIENT_SECRET": SECRET,
}


def set_variables(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in (CORP | changes).items():
        monkeypatch.setenv(name, value)


def test_there_are_no_providers_by_default() -> None:
    assert read_provider_settings() == {}


def test_each_provider_has_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(
        monkeypatch,
        USERS_PROVIDERS="corp, google",
        USERS_PROVIDER_GOOGLE_ISSUER="https://accounts.google.com",
        USERS_PROVIDER_GOOGLE_CLIENT_ID="other",
    )
    found = read_provider_settings()
    assert {name: each.client_id for name, each in found.items()} == {
        "corp": "app",
        "google": "other",
    }
    assert found["google"].client_secret is None
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("USERS_PROVIDERS", "Corp"),
        ("USERS_PROVIDERS", "my_corp"),
        ("USERS_PROVIDERS", "corp,corp"),
        ("USERS_PROVIDERS", "corp/../x"),
        ("USERS_PROVIDER_CORP_ISSUER", ""),
        ("USERS_PROVIDER_CORP_ISSUER", "id.example.com"),
        ("USERS_PROVIDER_CORP_ISSUER", "http://id.example.com"),
        ("USERS_PROVIDER_CORP_ISSUER", "https://id.example.com?tenant=1"),
        ("USERS_PROVIDER_CORP_CLIENT_ID", ""),
        ("USERS_PROVIDER_CORP_SCOPES", "email"),
        ("USERS_PROVIDER_CORP_ALGORITHMS", "HS256"),
        ("USERS_PROVIDER_CORP_ALGORITHMS", "none"),
        ("USERS_PROVIDER_CORP_ALGORITHMS", "RS256,HS256"),
        ("USERS_PROVIDER_CORP_TRUST_EMAIL", "perhaps"),
        ("USERS_PROVIDER_CORP_TIMEOUT", "0"),
    ],
)
def test_an_invalid_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    set_variables(monkeypatch, **{name: value})
    with pytest.raises(SettingsError, match=f"^{name}") as caught:
        read_provider_settings()
    assert SECRET not in str(caught.value)
