"""Settings of jobs and their workers."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.core.settings import EnvironmentSettings, Seconds, read_settings

BROKER_PACKAGES = {
    **dict.fromkeys(("amqp", "amqps"), "taskiq_aio_pika"),
    **dict.fromkeys(("redis", "rediss"), "taskiq_redis"),
    "nats": "taskiq_nats",
}


def check_broker_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        scheme, _port = parts.scheme, parts.port
    except ValueError:
        # Its text may quote the password.
        raise ValueError(
            "invalid URL; write / # ? @ : in a password as %2F %23 %3F %40 %3A"
        ) from None
    if scheme not in BROKER_PACKAGES:
        raise ValueError(f"unsupported scheme {scheme!r}; expected amqp://…, redis://… or nats://…")
    if find_spec(package := BROKER_PACKAGES[scheme]) is None:
        raise ValueError(f"{package} is not installed; run `uv sync --extra broker`")
    return url


class JobsSettings(EnvironmentSettings, env_prefix="JOBS_"):
    concurrency: int = Field(default=10, ge=1)
    """Jobs that one worker runs at the same time; each uses a database connection."""
    poll_interval: Seconds = 1
    """Seconds between polls for due jobs; on PostgreSQL, new jobs wake workers."""
    lease: Seconds = 30
    """Seconds after which the jobs of a worker that died are run by others."""
    retry_wait: Seconds = 5
    """Seconds before the first retry; each further wait is twice as long."""
    retry_max_wait: Seconds = 3600
    """Maximum wait before a retry, in seconds."""
    shutdown_timeout: Seconds = 20
    """Seconds that a worker waits for its jobs when it is stopped; the rest is run by others."""
    health_file: Path | None = None
    """File that a worker touches after each poll; see `python -m app.worker health`."""
    broker_url: Annotated[str, AfterValidator(check_broker_url)] | None = None
    """URL of RabbitMQ, Redis or NATS, which tells workers about new jobs; see docs/jobs.md."""
    broker_queue: str = Field(default="jobs", pattern=r"^[\w-]+$")
    """Name of the queue; applications that share a broker need different ones."""


@cache
def get_jobs_settings() -> JobsSettings:
    """Return the settings of jobs, read once; raises SettingsError."""
    return read_settings(JobsSettings)
