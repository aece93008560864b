"""Forgotten passwords: a link in a mail sets a new one."""

from app.core.auth.audit import audit_after_commit
from app.core.database import Session
from app.core.jobs import enqueue
from app.core.users.accounts import lock_account, mark_verified
from app.core.users.jobs import send_notice, send_reset_link
from app.core.users.one_time_tokens import (
    InvalidTokenError,
    Purpose,
    delete_tokens,
    find_token,
    use_token,
)
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.passwords.rules import check_new_password
from app.core.users.sessions import end_sessions
from app.core.users.throttling.throttle import Throttle


class PasswordReset:
    """The link logs nobody in: accounts with a second factor still need it."""

    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def start(self, email: str) -> None:
        """Send a link if the address has an active account; the caller cannot tell.

        Raises TooManyRequestsError after too many mails.
        """
        await self.throttle.count_mail(email)
        await enqueue(self.session, send_reset_link, email)

    async def finish(self, token: str, password: str) -> None:
        """Set the password of a link, and end all sessions and links of its account.

        Raises InvalidTokenError and WeakPasswordError.
        """
        found = await find_token(self.session, token, Purpose.PASSWORD_RESET)
        check_new_password(password, found.email)
        password_hash = await get_password_hasher().hash(password)
        account = await lock_account(self.session, found.user_id)
        await use_token(self.session, token, Purpose.PASSWORD_RESET)
        # The address may have changed since the mail was sent.
        if account is None or account.email != found.email:
            raise InvalidTokenError
        account.password_hash = password_hash
        account.code_failures = 0
        mark_verified(account)
        await end_sessions(self.session, account.id)
        await delete_tokens(self.session, account)
        await self.throttle.forget_login(self.session, account.email)
        await send_notice(self.session, account.email, "password_changed")
        audit_after_commit(self.session, "password reset", user_id=str(account.id))
