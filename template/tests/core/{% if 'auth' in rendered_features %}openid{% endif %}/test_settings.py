import pytest

from app.core.openid.settings import Algorithms, Issuer
from app.core.settings import EnvironmentSettings, SettingsError, read_settings


class SomeSettings(EnvironmentSettings, env_prefix="TESTED_"):
    issuer: Issuer = "https://id.example.com"
    algorithms: Algorithms = ("RS256",)


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
    monkeypatch.setenv("TESTED_ISSUER", issuer)
    assert read_settings(SomeSettings).issuer == issuer


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("TESTED_ISSUER", "id.example.com", "expected a URL such as https://"),
        ("TESTED_ISSUER", "http://id.example.com", "expected https; http is only accepted for"),
        ("TESTED_ISSUER", "http://127.0.0.1.example.com", "expected https"),
        ("TESTED_ISSUER", "http://0x7f000001", "expected https"),
        ("TESTED_ISSUER", "https://id.example.com?a=b", "expected a URL without a query"),
        ("TESTED_ISSUER", "https://id.example.com/#a", "expected a URL such as"),
        ("TESTED_ISSUER", "https://user:pass@id.example.com", "expected a URL such as"),
        ("TESTED_ISSUER", "https://id.example.com; a", "expected a URL such as"),
        ("TESTED_ALGORITHMS", "HS256", "'HS256' is not an asymmetric signature algorithm"),
        ("TESTED_ALGORITHMS", "RS256,none", "'none' is not an asymmetric signature algorithm"),
        ("TESTED_ALGORITHMS", "RS256,RSA-OAEP", "'RSA-OAEP' is not an asymmetric"),
        ("TESTED_ALGORITHMS", ",", "at least 1 item"),
    ],
)
def test_an_invalid_setting_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        read_settings(SomeSettings)
    assert str(error.value).startswith(variable)
    assert reason in str(error.value)


def test_asymmetric_algorithms_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTED_ALGORITHMS", "RS256, ES512, PS384, Ed25519, EdDSA")
    names = ("RS256", "ES512", "PS384", "Ed25519", "EdDSA")
    assert read_settings(SomeSettings).algorithms == names
