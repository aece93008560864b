"""A new address for the caller, once its owner has confirmed it."""

from app.core.auth.audit import audit_after_commit
from app.core.auth.principal import Principal
from app.core.database import Session
from app.core.jobs import enqueue
from app.core.models import utc_now
from app.core.users.account_locks import lock_own_account
from app.core.users.accounts import find_own, lock_account
from app.core.users.confirmation import confirm
from app.core.users.jobs import send_email_change_link, send_notice
from app.core.users.one_time_tokens import (
    InvalidTokenError,
    Purpose,
    delete_tokens,
    find_token,
    use_token,
)
from app.core.users.throttling.throttle import Throttle


class EmailChange:
    def __init__(self, session: Session, throttle: Throttle) -> None:
        self.session = session
        self.throttle = throttle

    async def start(self, principal: Principal, email: str, password: str | None) -> None:
        """Send a link to the new address, and a notice to the old one.

        Raises what `confirm` and `lock_own_account` raise, and TooManyRequestsError after too many
        mails.
        """
        row = await find_own(self.session, principal)
        await confirm(self.session, self.throttle, principal, row, password)
        await self.throttle.count_mail(email)
        account = await lock_own_account(self.session, principal)
        await enqueue(
            self.session, send_email_change_link, email, account.id, account.link_generation
        )
        await send_notice(self.session, account.email, "email_change_requested", new_email=email)
        audit_after_commit(self.session, "email change requested", user_id=principal.id)

    async def finish(self, token: str) -> None:
        """Change the address to that of a link, and end all other links of the account.

        Raises InvalidTokenError and, if the address got an account meanwhile, an IntegrityError
        that becomes a 409.
        """
        found = await find_token(self.session, token, Purpose.EMAIL_CHANGE)
        account = await lock_account(self.session, found.user_id)
        await use_token(self.session, token, Purpose.EMAIL_CHANGE)
        if account is None:
            raise InvalidTokenError
        old_email, account.email = account.email, found.email
        account.email_verified_at = utc_now()
        await self.session.flush()
        await delete_tokens(self.session, account)
        await send_notice(self.session, old_email, "email_changed", new_email=account.email)
        audit_after_commit(self.session, "email changed", user_id=str(account.id))
