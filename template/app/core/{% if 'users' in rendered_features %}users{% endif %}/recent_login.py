"""Sensitive changes, which need more than a session that somebody may have found open."""

from datetime import timedelta

from app.core.auth.errors import ForbiddenError
from app.core.auth.principal import Principal
from app.core.models import utc_now
from app.core.users.settings import get_users_settings


class RecentLoginRequiredError(ForbiddenError):
    """The caller has to log in again before a sensitive change."""

    def __init__(self) -> None:
        super().__init__("The login is too old for this change; log in again.")


def require_recent_login(caller: Principal) -> None:
    """Raise RecentLoginRequiredError unless the caller proved who they are a short time ago."""
    age = utc_now() - caller.claims["authenticated_at"]
    if age > timedelta(seconds=get_users_settings().recent_login):
        raise RecentLoginRequiredError
