"""Second factors of accounts."""

from app.core.auth.audit import audit
from app.core.database import Session
from app.core.users.models import UserAccount
from app.core.users.one_time_tokens import Purpose, new_one_time_token, store_token

# Seconds in which a second factor has to follow.
CHALLENGE_LIFETIME = 300


async def second_factors(_session: Session, _account: UserAccount) -> list[str]:
    """Return the names of the factors of which a login must prove one; [] if there are none."""
    return []


async def start_second_step(session: Session, account: UserAccount, methods: list[str]) -> str:
    """Return a challenge that a second factor has to answer to complete a login.

    `methods` are those that the login has proved; it must not start a session.
    """
    challenge = new_one_time_token(Purpose.LOGIN)
    await store_token(
        session, challenge, Purpose.LOGIN, account.email, account.id, CHALLENGE_LIFETIME
    )
    audit("second factor required", user_id=str(account.id), methods=methods)
    return challenge
