"""Sign-up and invitations: the receiver of an account's mails sets its password.

A password chosen before the address is verified could be that of an attacker, who enters another
person's address and waits until they follow the link.
"""

from app.core.auth.audit import audit_after_commit
from app.core.auth.errors import ForbiddenError
from app.core.database import Session
from app.core.jobs import enqueue
from app.core.models import utc_now
from app.core.users.accounts import create_account, lock_account, mark_verified
from app.core.users.jobs import send_sign_up_link
from app.core.users.one_time_tokens import (
    InvalidTokenError,
    Purpose,
    delete_tokens,
    find_token,
    use_token,
)
from app.core.users.passwords.hashes import get_password_hasher
from app.core.users.passwords.rules import check_new_password
from app.core.users.settings import get_users_settings
from app.core.users.throttling.throttle import Throttle


class SignUpDisabledError(ForbiddenError):
    def __init__(self) -> None:
        super().__init__("Sign-up is disabled; ask an administrator for an invitation.")


class SignUp:
    def __init__(self, session: Session) -> None:
        self.session = session

    async def start(self, email: str, throttle: Throttle) -> None:
        """Send a mail, whether or not the address has an account; the caller cannot tell.

        Raises SignUpDisabledError, and TooManyRequestsError after too many mails.
        """
        if not get_users_settings().sign_up:
            raise SignUpDisabledError
        await throttle.count_mail(Purpose.SIGN_UP, email)
        await enqueue(self.session, send_sign_up_link, email)

    async def finish(self, token: str, password: str) -> None:
        """Create the account of a link with a password.

        Raises InvalidTokenError, WeakPasswordError and, if the address got an account meanwhile,
        an IntegrityError that becomes a 409.
        """
        if not get_users_settings().sign_up:
            raise SignUpDisabledError
        found = await find_token(self.session, token, Purpose.SIGN_UP)
        check_new_password(password, found.email)
        password_hash = await get_password_hasher().hash(password)
        await use_token(self.session, token, Purpose.SIGN_UP)
        account = await create_account(
            self.session,
            found.email,
            email_verified_at=utc_now(),
            password_hash=password_hash,
            roles=list(get_users_settings().sign_up_roles),
        )
        audit_after_commit(self.session, "account created", user_id=str(account.id))

    async def accept_invitation(self, token: str, password: str) -> None:
        """Give an invited account its first password.

        Raises WeakPasswordError, and InvalidTokenError, also for an account that is deactivated or
        has a password already.
        """
        found = await find_token(self.session, token, Purpose.INVITATION)
        check_new_password(password, found.email)
        password_hash = await get_password_hasher().hash(password)
        account = await lock_account(self.session, found.user_id)
        await use_token(self.session, token, Purpose.INVITATION)
        if account is None or account.password_hash is not None:
            raise InvalidTokenError
        account.password_hash = password_hash
        mark_verified(account)
        await delete_tokens(self.session, account)
        audit_after_commit(self.session, "invitation accepted", user_id=str(account.id))
