"""Settings from environment variables and the `.env` file in the project folder."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError
from sqlalchemy import URL

from app.core import dialect

PROJECT_ROOT = Path(__file__).resolve().parents[2]


class SettingsError(SystemExit):
    """Ends the process with one line per invalid variable instead of a traceback."""


FROM_ENVIRONMENT = SettingsConfigDict(
    env_file=PROJECT_ROOT / ".env", env_ignore_empty=True, extra="ignore"
)
# The default of nested settings.
_EMPTY = cast(Any, {})


class EnvironmentSettings(BaseSettings):
    """The base of settings classes; a feature's own sets `env_prefix` as a class argument."""

    model_config = FROM_ENVIRONMENT


def _split(value: object) -> object:
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


# NoDecode: pydantic-settings would expect JSON.
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]

# Database servers store milliseconds in 32 bits.
MAX_SECONDS = 2_147_483
Seconds = Annotated[float, Field(ge=0.001, le=MAX_SECONDS, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(le=MAX_SECONDS)]


class DatabaseSettings(BaseModel):
    """The database and the connection pool of one process."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    url: Annotated[URL, NoDecode, BeforeValidator(dialect.parse_url)]
    """URL of the database; see docs/database.md for its parameters."""
    pool_size: int = Field(default=10, ge=1)
    """Connections that each process keeps open."""
    max_overflow: int = Field(default=0, ge=0)
    """Additional connections under load."""
    pool_timeout: Seconds = 10
    """Seconds to wait for a free connection."""
    pool_recycle: int = Field(default=1800, ge=-1)
    """Seconds after which a connection is replaced; -1 disables this."""
    statement_timeout: Seconds = 30
    """Time limit of one statement, and of a commit, in seconds."""
    # Add your own settings below; template updates add theirs above.
    #: Whether idle connections are tested before they are used.
    pool_pre_ping: bool = True


class Settings(EnvironmentSettings, env_nested_delimiter="_", env_nested_max_split=1):
    """Settings of the application; `DATABASE_POOL_SIZE` sets `database.pool_size`."""

    # Add your own settings below; template updates add theirs above.

    # Validated by default, so that the error names the missing variable.
    database: DatabaseSettings = Field(default_factory=lambda: _EMPTY, validate_default=True)


class MigrationSettings(EnvironmentSettings, env_prefix="MIGRATION_"):
    """Timeouts of migrations, in seconds."""

    wait_timeout: WholeSeconds = Field(default=300, ge=0)
    """Maximum wait for another process that migrates the same database."""
    lock_timeout: WholeSeconds = Field(default=5, ge=1)
    """Maximum wait of a statement for a lock that another session holds."""
    statement_timeout: WholeSeconds = Field(default=0, ge=0)
    """Time limit of one statement; 0 disables it."""


@cache
def get_settings() -> Settings:
    """Return the settings, read once; raises SettingsError."""
    return read_settings(Settings)


@cache
def get_migration_settings() -> MigrationSettings:
    """Return the settings of migrations, read once; raises SettingsError."""
    return read_settings(MigrationSettings)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def read_settings(settings: type[SettingsT]) -> SettingsT:
    """Return the settings of a class; features that can be removed define their own.

    Raises SettingsError, which names each missing or invalid variable.
    """
    try:
        return settings()
    except (SourceError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read the settings: {error}.") from None
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        reasons = [_describe(prefix, reason) for reason in error.errors()]
        raise SettingsError("\n".join(reasons)) from None


def _describe(prefix: str, error: Any) -> str:
    variable = prefix + "_".join(map(str, error["loc"])).upper()
    if error["type"] == "missing":
        return f"{variable}: missing; set it in the environment or in .env (see .env.example)"
    reason = error["msg"].removeprefix("Value error, ")
    # A URL contains a password.
    value = "" if str(error["loc"][-1]).endswith("url") else f"={error['input']!r}"
    return f"{variable}{value}: {reason}"
