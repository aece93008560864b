import pytest

from app.core.oidc.settings import OIDCSettings
from app.core.settings import SettingsError, read_settings


@pytest.fixture(autouse=True)
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "https://id.example.com")
    monkeypatch.setenv("OIDC_AUDIENCE", "api")


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example.com",
        "https://id.example.com/",
        "https://id.example.com:8443/realms/a%20b",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:8080/",
    ],
)
def test_issuers_are_kept_as_they_are(monkeypatch: pytest.MonkeyPatch, issuer: str) -> None:
    monkeypatch.setenv("OIDC_ISSUER", issuer)
    assert read_settings(OIDCSettings).issuer == issuer


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("OIDC_ISSUER", "", "missing; set it in the environment or in .env"),
        ("OIDC_ISSUER", "id.example.com", "expected a URL such as https://"),
        ("OIDC_ISSUER", "http://id.example.com", "expected https; http is only accepted for"),
        ("OIDC_ISSUER", "http://127.0.0.1.example.com", "expected https"),
        ("OIDC_ISSUER", "http://0x7f000001", "expected https"),
        ("OIDC_ISSUER", "https://id.example.com?a=b", "expected a URL without a query"),
        ("OIDC_ISSUER", "https://id.example.com/#a", "expected a URL such as"),
        ("OIDC_ISSUER", "https://user:pass@id.example.com", "expected a URL such as"),
        ("OIDC_ISSUER", "https://id.example.com; a", "expected a URL such as"),
        ("OIDC_AUDIENCE", "", "missing"),
        ("OIDC_AUDIENCE", ",", "at least 1 item"),
        ("OIDC_ALGORITHMS", "HS256", "'HS256' is not an asymmetric signature algorithm"),
        ("OIDC_ALGORITHMS", "RS256,none", "'none' is not an asymmetric signature algorithm"),
        ("OIDC_ALGORITHMS", "RS256,RSA-OAEP", "'RSA-OAEP' is not an asymmetric"),
        ("OIDC_ALGORITHMS", ",", "at least 1 item"),
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


def test_asymmetric_algorithms_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ALGORITHMS", "RS256, ES512, PS384, Ed25519, EdDSA")
    names = ("RS256", "ES512", "PS384", "Ed25519", "EdDSA")
    assert read_settings(OIDCSettings).algorithms == names
