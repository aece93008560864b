"""Tokens that work once, of links in mails."""

from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import bindparam, delete, select

from app.core.database import Session, StoredRow, read_rows
from app.core.errors import ErrorDetail, InvalidError
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.factors.challenges import delete_challenges
from app.core.users.models import UserAccount, UserToken
from app.core.users.tables import ONE_TIME_TOKENS
from app.core.users.tokens import hash_token, new_token


class Purpose(StrEnum):
    """What a token is for; no other operation accepts it."""

    SIGN_UP = "sign_up"
    INVITATION = "invitation"
    PASSWORD_RESET = "password_reset"  # noqa: S105
    EMAIL_CHANGE = "email_change"


IS_VALID = (
    ONE_TIME_TOKENS.c.token_hash == bindparam("hashed"),
    ONE_TIME_TOKENS.c.purpose == bindparam("wanted"),
    ONE_TIME_TOKENS.c.expires_at > bindparam("now"),
)
FIND = select(ONE_TIME_TOKENS.c.user_id, ONE_TIME_TOKENS.c.email).where(*IS_VALID)
USE = delete(ONE_TIME_TOKENS).where(*IS_VALID)


class InvalidTokenError(InvalidError):
    """A one-time token is unknown, has expired, or was used."""

    def __init__(self) -> None:
        reason = "invalid, expired or used"
        detail = ErrorDetail(location=["body", "token"], reason=reason)
        super().__init__(f"The token is {reason}; request a new one.", [detail])


async def store_token(
    session: Session, token: str, purpose: Purpose, email: str, user_id: UUID | None, seconds: float
) -> None:
    """Insert a token in a transaction; an earlier one for the same purpose ends.

    It is that of the same account or, without an account, of the same address.
    """
    of_owner = (
        ONE_TIME_TOKENS.c.email == email
        if user_id is None
        else ONE_TIME_TOKENS.c.user_id == user_id
    )
    await session.execute(
        delete(ONE_TIME_TOKENS).where(of_owner, ONE_TIME_TOKENS.c.purpose == purpose)
    )
    row = UserToken(
        token_hash=hash_token(token),
        purpose=purpose,
        user_id=user_id,
        email=email,
        expires_at=utc_now() + timedelta(seconds=seconds),
    )
    session.add(row)
    await session.flush()


def new_one_time_token(purpose: Purpose) -> str:
    return new_token(f"{purpose}_")


async def find_token(session: Session, token: str, purpose: Purpose) -> StoredRow:
    """Return the account and the address of a token without using it, or a transaction.

    Raises InvalidTokenError.
    """
    rows = await read_rows(session, FIND, _parameters(token, purpose))
    if not rows:
        raise InvalidTokenError
    return rows[0]


async def use_token(session: Session, token: str, purpose: Purpose) -> None:
    """Delete a token in a transaction: of parallel uses, one wins. Raises InvalidTokenError."""
    if await affected_rows(session, USE, _parameters(token, purpose)) != 1:
        raise InvalidTokenError


def _parameters(token: str, purpose: Purpose) -> dict[str, object]:
    return {"hashed": hash_token(token), "wanted": purpose, "now": utc_now()}


async def delete_tokens(session: Session, account: UserAccount) -> None:
    """Delete all tokens of a locked account, and those of half-finished logins.

    Links in mails that are still to be sent become invalid, too.
    """
    account.link_generation += 1
    await session.flush()
    await session.execute(delete(ONE_TIME_TOKENS).where(ONE_TIME_TOKENS.c.user_id == account.id))
    await delete_challenges(session, account.id)
