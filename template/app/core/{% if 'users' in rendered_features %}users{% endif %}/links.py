"""Links in mails. Jobs create their tokens, which the database and the queue never contain."""

from dataclasses import dataclass

from app.core.database import Session, StoredRow
from app.core.jobs import current_job
from app.core.mail import Mail, smtp
from app.core.mail.mails import render
from app.core.users.accounts import lock_account
from app.core.users.one_time_tokens import Purpose, new_one_time_token, store_token
from app.core.users.project_name import PROJECT_NAME
from app.core.users.settings import DAY, HOUR, MINUTE, UsersSettings, get_users_settings


@dataclass(frozen=True)
class Link:
    """A page of the web application, and the mail that leads to it."""

    path: str
    template: str
    lifetime_setting: str

    def lifetime(self, settings: UsersSettings) -> int:
        seconds: int = getattr(settings, self.lifetime_setting)
        return seconds


LINKS = {
    Purpose.SIGN_UP: Link("verify-email", "sign_up", "verification_lifetime"),
    Purpose.INVITATION: Link("accept-invitation", "invitation", "invitation_lifetime"),
    Purpose.PASSWORD_RESET: Link("reset-password", "password_reset", "reset_lifetime"),
    Purpose.EMAIL_CHANGE: Link("confirm-email", "email_change", "verification_lifetime"),
}


def link_url(purpose: Purpose, token: str) -> str:
    """Return a link whose token servers do not see: browsers do not send fragments."""
    return f"{get_users_settings().link_url}/{LINKS[purpose].path}#token={token}"


def site() -> str:
    """Return how mails name the service."""
    return PROJECT_NAME


def format_duration(seconds: int) -> str:
    """Return a time of at least a minute as in "1 day 12 hours", never longer than it is."""
    parts = []
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number} {unit}{'s' if number > 1 else ''}")
    return " ".join(parts)


async def send_link(
    session: Session, purpose: Purpose, email: str, account: StoredRow | None
) -> None:
    """Send a mail with a link, then store the hash of its token; run by a job.

    A mail that fails leaves nothing, and the next attempt sends another token. The link in a mail
    is invalid if the links of the account have ended since `account` was read.
    """
    link = LINKS[purpose]
    token = new_one_time_token(purpose)
    lifetime = link.lifetime(get_users_settings())
    context: dict[str, object] = {
        "url": link_url(purpose, token),
        "site": site(),
        "email": email,
        "lifetime": format_duration(lifetime),
    }
    mail = Mail(email, *render(f"users/mails/{link.template}", context))
    # Before the transaction starts: it holds no connection meanwhile.
    await smtp.deliver(mail, current_job().id)
    if account is not None:
        locked = await lock_account(session, account.id)
        if locked is None or locked.link_generation != account.link_generation:
            return
    user_id = account.id if account else None
    await store_token(session, token, purpose, email, user_id, lifetime)
