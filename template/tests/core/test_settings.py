import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import literal, select

from app.core.database import create_engine
from app.core.settings import (
    MAX_SECONDS,
    PROJECT_ROOT,
    Settings,
    SettingsError,
    get_migration_settings,
    get_settings,
)


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that has what it needs, and no `.env` beside it."""
    url = settings.database.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


def read() -> Settings:
    return get_settings.__wrapped__()


def test_a_nested_setting_is_read_from_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "7")
    monkeypatch.setenv("DATABASE_POOL_PRE_PING", "false")
    assert read().database.pool_size == 7
    assert not read().database.pool_pre_ping


def test_the_environment_takes_precedence_over_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DATABASE_POOL_SIZE=3\nDATABASE_MAX_OVERFLOW=4\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "7")
    assert read().database.pool_size == 7
    assert read().database.max_overflow == 4


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_POOL_SIZE", "many"),
        ("DATABASE_POOL_SIZE", "0"),
        *product(
            ("DATABASE_POOL_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT"),
            # The last one would be rounded to zero, which means no limit.
            ("-1", "inf", "nan", "1e300", "0.0001"),
        ),
        ("DATABASE_POOL_PRE_PING", "perhaps"),
    ],
)
def test_an_invalid_value_is_reported_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}='{value}': "):
        read()


async def test_the_database_accepts_the_longest_timeout(settings: Settings) -> None:
    longest = settings.database.model_copy(update={"statement_timeout": MAX_SECONDS})
    engine = create_engine(longest)
    async with engine.connect() as connection:
        assert await connection.scalar(select(literal(1))) == 1
    await engine.dispose()


@pytest.mark.parametrize(
    "variable",
    ["MIGRATION_WAIT_TIMEOUT", "MIGRATION_LOCK_TIMEOUT", "MIGRATION_STATEMENT_TIMEOUT"],
)
@pytest.mark.parametrize("value", ["-1", "inf", "1e300", "2147484"])
def test_migration_timeouts_are_bounded(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}='{value}': "):
        get_migration_settings.__wrapped__()


@pytest.mark.parametrize(
    "value", ["nonsense", "oracle://me:secret@host/name", "mysql://me:secret/name"]
)
def test_an_invalid_url_is_reported_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(SettingsError, match="DATABASE_URL: ") as caught:
        read()
    assert "secret" not in str(caught.value)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(SettingsError, match="DATABASE_URL: missing"):
        read()


@pytest.mark.process
def test_an_invalid_variable_prevents_startup() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:app"],
        cwd=PROJECT_ROOT,
        env=os.environ | {"DATABASE_URL": "nonsense"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode != 0
    assert process.stderr.splitlines()[-1].startswith("DATABASE_URL: ")
    assert "Traceback" not in process.stderr


def test_an_invalid_variable_stops_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    get_settings.cache_clear()
    # Neither Alembic nor Python prints a traceback for a SystemExit.
    with pytest.raises(SystemExit, match=r"^DATABASE_URL: "):
        command.current(Config(PROJECT_ROOT / "alembic.ini"))


def test_an_unreadable_source_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes("DATABASE_URL=é".encode("latin-1"))
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with pytest.raises(SettingsError, match="Cannot read the settings: 'utf-8'"):
        read()
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setenv("DATABASE", "abc")
    with pytest.raises(SettingsError, match=r'Cannot read the settings: .*"database"'):
        read()
