"""Settings of the broker."""

from functools import cache
from importlib.util import find_spec
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.core.settings import EnvironmentSettings, read_settings

PACKAGES = {
    **dict.fromkeys(("amqp", "amqps"), "taskiq_aio_pika"),
    **dict.fromkeys(("redis", "rediss"), "taskiq_redis"),
    "nats": "taskiq_nats",
}


def check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        scheme, _port = parts.scheme, parts.port
    except ValueError:
        # Its text may quote the password.
        raise ValueError(
            "invalid URL; write / # ? @ : in a password as %2F %23 %3F %40 %3A"
        ) from None
    if scheme not in PACKAGES:
        raise ValueError(f"unsupported scheme {scheme!r}; expected amqp://…, redis://… or nats://…")
    if find_spec(package := PACKAGES[scheme]) is None:
        raise ValueError(f"{package} is not installed; run `uv sync --extra broker`")
    return url


class BrokerSettings(EnvironmentSettings, env_prefix="JOBS_BROKER_"):
    url: Annotated[str, AfterValidator(check_url)] | None = None
    """URL of RabbitMQ, Redis or NATS, which tells workers about new jobs; see docs/jobs.md."""
    queue: str = Field(default="jobs", pattern=r"^[\w-]+$")
    """Name of the queue; applications that share a broker need different ones."""


@cache
def get_broker_settings() -> BrokerSettings:
    """Return the settings of the broker, read once; raises SettingsError."""
    return read_settings(BrokerSettings)
