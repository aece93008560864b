"""Settings of jobs and their workers."""

from functools import cache
from pathlib import Path

from pydantic import Field

from app.core.settings import EnvironmentSettings, Seconds, read_settings


class JobsSettings(EnvironmentSettings, env_prefix="JOBS_"):
    concurrency: int = Field(default=10, ge=1)
    """Jobs that one worker runs at the same time; each uses a database connection."""
    poll_interval: Seconds = 1
    """Seconds between polls for due jobs; on PostgreSQL, new jobs wake workers earlier."""
    lease: Seconds = 30
    """Seconds after which a job whose worker died is retried by others, as after an error."""
    retry_wait: Seconds = 5
    """Maximum wait before the first retry, in seconds; each further one is twice as long."""
    retry_max_wait: Seconds = 3600
    """Maximum wait before a retry, in seconds."""
    shutdown_timeout: Seconds = 20
    """Seconds that a worker waits for its jobs when it is stopped; the rest is run by others."""
    health_file: Path | None = None
    """File that a worker touches after each poll; see `python -m app.worker health`."""


@cache
def get_jobs_settings() -> JobsSettings:
    """Return the settings of jobs, read once; raises SettingsError."""
    return read_settings(JobsSettings)
