"""Settings from the environment and, where it is silent, from `.env` in the project's folder."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError
from sqlalchemy import URL

from app.core import dialect

PROJECT_ROOT = Path(__file__).resolve().parents[2]


class SettingsError(SystemExit):
    """Stops the process with one line for each wrong variable, instead of a traceback."""


# Database servers store milliseconds in 32 bits.
MAX_SECONDS = 2_147_483
Seconds = Annotated[float, Field(ge=0.001, le=MAX_SECONDS, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(le=MAX_SECONDS)]


class DatabaseSettings(BaseModel):
    """Where the database is and how many connections one process may hold."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    url: Annotated[URL, NoDecode, BeforeValidator(dialect.parse_url)]
    pool_size: int = Field(default=10, ge=1)
    max_overflow: int = Field(default=0, ge=0)
    pool_timeout: Seconds = 10
    """Seconds that a request waits for a connection."""
    pool_recycle: int = Field(default=1800, ge=-1)
    """Seconds after which a connection is replaced; -1 is never."""
    pool_pre_ping: bool = True
    statement_timeout: Seconds = 30
    """Seconds that one statement of a request, or its commit, may run."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


# NoDecode: pydantic-settings would expect JSON.
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]

FROM_ENVIRONMENT = SettingsConfigDict(
    env_file=PROJECT_ROOT / ".env",
    env_file_encoding="utf-8",
    env_ignore_empty=True,
    extra="ignore",
)


class Settings(BaseSettings):
    """All settings; `DATABASE_POOL_SIZE` in the environment is `database.pool_size` here."""

    model_config = FROM_ENVIRONMENT | SettingsConfigDict(
        env_nested_delimiter="_", env_nested_max_split=1
    )

    # Validated even when empty, so that the error names the variable that is missing.
    database: DatabaseSettings = Field(default_factory=lambda: _EMPTY, validate_default=True)


_EMPTY: Any = {}


class MigrationSettings(BaseSettings):
    """What migrations wait for, in seconds; needed without the rest when a connection is given."""

    model_config = FROM_ENVIRONMENT | SettingsConfigDict(env_prefix="MIGRATION_")

    wait_timeout: WholeSeconds = Field(default=300, ge=0)
    """How long to wait for another process that migrates the same database."""
    lock_timeout: WholeSeconds = Field(default=5, ge=1)
    """How long a statement waits for a table or row that another session holds."""
    statement_timeout: WholeSeconds = Field(default=0, ge=0)
    """How long a statement runs; 0 is without limit."""


@cache
def get_settings() -> Settings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(Settings)


@cache
def get_migration_settings() -> MigrationSettings:
    """Return the settings of migrations, read once; raises what `read_settings` does."""
    return read_settings(MigrationSettings)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def read_settings(settings: type[SettingsT]) -> SettingsT:
    """Return settings of any class; a concern that can be deleted keeps its own beside its code.

    Raises SettingsError, which names each variable that is missing or malformed.
    """
    try:
        return settings()
    except (SourceError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings cannot be read: {error}.") from None
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        reasons = [_explain(prefix, reason) for reason in error.errors()]
        raise SettingsError("\n".join(reasons)) from None


def _explain(prefix: str, error: Any) -> str:
    variable = prefix + "_".join(map(str, error["loc"])).upper()
    if error["type"] == "missing":
        return f"{variable} is not set; set it in the environment or in .env (see .env.example)."
    reason = error["msg"].removeprefix("Value error, ")
    # A URL holds a password, and the reason says what is wrong with it.
    value = "" if error["loc"][-1] == "url" else f" {error['input']!r}"
    return f"{variable}{value} is wrong: {reason}."
