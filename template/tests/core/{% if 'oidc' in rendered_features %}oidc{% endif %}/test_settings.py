import pytest

from app.core.oidc.settings import OIDCSettings
from app.core.settings import SettingsError, read_settings


@pytest.fixture(autouse=True)
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "https://id.example.com")
    monkeypatch.setenv("OIDC_AUDIENCE", "api")


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("OIDC_ISSUER", "", "missing; set it in the environment or in .env"),
        ("OIDC_ISSUER", "http://id.example.com", "expected https; http is only accepted for"),
        ("OIDC_AUDIENCE", "", "missing"),
        ("OIDC_AUDIENCE", ",", "at least 1 item"),
        ("OIDC_ALGORITHMS", "HS256", "'HS256' is not an asymmetric signature algorithm"),
        ("OIDC_CLOCK_SKEW", "-1", "greater than or equal to 0"),
        ("OIDC_CLOCK_SKEW", "3600", "less than or equal to 600"),
    ],
)
def test_an_invalid_setting_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        read_settings(OIDCSettings)
    assert str(error.value).startswith(variable)
    assert reason in str(error.value)
