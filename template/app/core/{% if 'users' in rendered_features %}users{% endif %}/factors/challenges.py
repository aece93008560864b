"""Challenges: random, good for one success within minutes, of the account or session that asked.

An answer that fails leaves its challenge valid, since its transaction is rolled back; nobody can
guess a signature, and guesses of codes are counted in `app.core.users.factors.guesses`.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from app.core.database import Session
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.factors.settings import get_factor_settings
from app.core.users.models import UserChallenge
from app.core.users.tables import CHALLENGES
from app.core.users.tokens import hash_token


async def add_challenge(session: Session, challenge: str, purpose: str, **values: Any) -> None:
    """Store the hash of a challenge, with what its answer has to belong to."""
    lifetime = timedelta(seconds=get_factor_settings().challenge_lifetime)
    row = UserChallenge(
        challenge_hash=hash_token(challenge),
        purpose=purpose,
        expires_at=utc_now() + lifetime,
        **values,
    )
    session.add(row)
    await session.flush()


async def use_challenge(
    session: Session,
    challenge: str,
    purpose: str,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
) -> bool:
    """Return whether a challenge is valid, and delete it; of two parallel answers, one fails.

    Not in a transaction of its own: a request that is retried after a deadlock needs it again.
    """
    statement = delete(CHALLENGES).where(
        CHALLENGES.c.challenge_hash == hash_token(challenge),
        CHALLENGES.c.purpose == purpose,
        CHALLENGES.c.user_id.is_not_distinct_from(user_id),
        CHALLENGES.c.session_id.is_not_distinct_from(session_id),
        CHALLENGES.c.expires_at > utc_now(),
    )
    return await affected_rows(session, statement) == 1


async def delete_challenges(
    session: Session, user_id: UUID, session_id: UUID | None = None
) -> None:
    """Invalidate the half-finished logins and ceremonies of an account, or those of a session."""
    statement = delete(CHALLENGES).where(CHALLENGES.c.user_id == user_id)
    if session_id is not None:
        statement = statement.where(CHALLENGES.c.session_id == session_id)
    await session.execute(statement)
