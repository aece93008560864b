import pytest

from app.core.jobs.broker.settings import BrokerSettings
from app.core.settings import SettingsError, read_settings


@pytest.mark.parametrize("url", ["redis://:s3cr/et@host:6379", "redis://user:s3cr℀@host"])
def test_invalid_urls_of_brokers_do_not_show_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("JOBS_BROKER_URL", url)
    with pytest.raises(SettingsError, match="invalid URL; write /") as raised:
        read_settings(BrokerSettings)
    assert "s3cr" not in str(raised.value)


def test_errors_do_not_show_the_password_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_BROKER_URL", "kafka://user:secret@host")
    with pytest.raises(SettingsError) as raised:
        read_settings(BrokerSettings)
    assert str(raised.value).startswith("JOBS_BROKER_URL: unsupported scheme 'kafka'")
    assert "secret" not in str(raised.value)


def test_a_broker_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.jobs.broker.settings.find_spec", lambda _: None)
    monkeypatch.setenv("JOBS_BROKER_URL", "redis://user:secret@host")
    with pytest.raises(SettingsError) as raised:
        read_settings(BrokerSettings)
    reason = "taskiq_redis is not installed; run `uv sync --extra broker`"
    assert str(raised.value) == f"JOBS_BROKER_URL: {reason}"
