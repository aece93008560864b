"""The mail server and the sender."""

from functools import cache
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from app.core.mail.addresses import MailAddress
from app.core.settings import EnvironmentSettings, Seconds, read_settings

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


class MailSettings(EnvironmentSettings, env_prefix="MAIL_"):
    """The SMTP server and the sender; only the worker needs them."""

    host: str
    """Host name of the SMTP server."""
    port: int = Field(default=587, ge=1, le=65535)
    """Usually 587 for `starttls`, 465 for `implicit`."""
    username: str | None = None
    """Name for the login; there is no login if it is unset."""
    password: SecretStr | None = None
    """Password for the login."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`none` sends mails unencrypted, and is rejected with a password for another machine."""
    sender: MailAddress
    """Address that mails come from."""
    sender_name: str = ""
    """Name shown with the address."""
    timeout: Seconds = 10
    """Maximum wait for each response of the server, in seconds; a whole delivery may take 60."""

    @field_validator("tls")
    @classmethod
    def _protect_the_password(cls, tls: str, info: ValidationInfo) -> str:
        host = info.data.get("host")
        if tls == "none" and info.data.get("password") and host not in LOCAL_HOSTS:
            raise ValueError(f"the password would be sent to {host} unencrypted; use starttls")
        return tls


@cache
def get_mail_settings() -> MailSettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(MailSettings)
