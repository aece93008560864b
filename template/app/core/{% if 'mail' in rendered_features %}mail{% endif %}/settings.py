"""The mail server and the sender."""

from functools import cache
from typing import Literal

from pydantic import Field, SecretStr

from app.core.mail.addresses import MailAddress
from app.core.settings import EnvironmentSettings, Seconds, read_settings


class MailSettings(EnvironmentSettings, env_prefix="MAIL_"):
    """The SMTP server and the sender; only the worker needs them."""

    host: str
    """Host name of the SMTP server."""
    port: int = Field(default=587, ge=1, le=65535)
    """Usually 587 for `starttls`, 465 for `implicit`."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`none` sends mails and the password unencrypted."""
    username: str | None = None
    """Name for the login; there is no login if it is unset."""
    password: SecretStr | None = None
    """Password for the login."""
    sender: MailAddress
    """Address that mails come from."""
    sender_name: str = ""
    """Name shown with the address."""
    timeout: Seconds = 10
    """Maximum wait for each response of the server, in seconds."""


@cache
def get_mail_settings() -> MailSettings:
    """Return the settings, read once; raises what `read_settings` does."""
    return read_settings(MailSettings)
