"""Second factors of accounts: which there are, and whether an answer proves one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, select

from app.core.auth.audit import audit, audit_after_commit
from app.core.database import Session, read_rows
from app.core.users.factors.challenges import add_challenge
from app.core.users.factors.recovery_codes import use_recovery_code
from app.core.users.factors.totp import verify_totp
from app.core.users.factors.webauthn_ceremonies import (
    SECOND_FACTOR,
    CeremonyError,
    finish_asserting,
)
from app.core.users.methods import PASSKEY, RECOVERY_CODE, TOTP
from app.core.users.models import UserAccount
from app.core.users.tables import PASSKEYS, RECOVERY_CODES, TOTP_APPS
from app.core.users.tokens import new_token

# The purpose of challenges of half-finished logins.
SECOND_STEP = "login"
PRESENT = select(
    exists().where(
        TOTP_APPS.c.user_id == bindparam("wanted"), TOTP_APPS.c.confirmed_at.is_not(None)
    ),
    exists().where(PASSKEYS.c.user_id == bindparam("wanted")),
    exists().where(RECOVERY_CODES.c.user_id == bindparam("wanted")),
)


@dataclass(frozen=True)
class Answer:
    """What proves a second factor: a code, or what a browser returns for a passkey."""

    method: str
    code: str = field(default="", repr=False)
    credential: dict[str, Any] | None = field(default=None, repr=False)


async def list_methods(session: Session, user_id: UUID) -> list[str]:
    """Return the names of the factors of an account; recovery codes alone do not count.

    Starts no transaction, but reads in the one of the session, if there is one.
    """
    [(has_app, has_passkey, has_code)] = await read_rows(session, PRESENT, {"wanted": user_id})
    present = {TOTP: has_app, PASSKEY: has_passkey}
    methods = [method for method, is_present in present.items() if is_present]
    return [*methods, RECOVERY_CODE] if methods and has_code else methods


async def start_second_step(
    session: Session,
    account: UserAccount,
    methods: list[str],
    authenticated_at: datetime | None = None,
) -> str:
    """Return a challenge that a second factor has to answer to complete a login.

    `methods` are those that the login has proved, at `authenticated_at`, by default now; it must
    not start a session.
    """
    challenge = new_token("login_")
    await add_challenge(
        session,
        challenge,
        SECOND_STEP,
        user_id=account.id,
        methods=" ".join(methods),
        authenticated_at=authenticated_at,
    )
    audit_after_commit(session, "second factor required", user_id=str(account.id), methods=methods)
    return challenge


async def verify_factor(session: Session, user_id: UUID, answer: Answer) -> bool:
    """Return whether an answer proves a factor of the account, and use it up."""
    match answer.method:
        case "totp":
            return await verify_totp(session, user_id, answer.code)
        case "recovery_code":
            return await _use_recovery_code(session, user_id, answer.code)
        case "passkey" if answer.credential is not None:
            return await _verify_passkey(session, user_id, answer.credential)
    return False


async def _use_recovery_code(session: Session, user_id: UUID, code: str) -> bool:
    # Without another factor, they are left over, and no login asks for them.
    is_offered = RECOVERY_CODE in await list_methods(session, user_id)
    return is_offered and await use_recovery_code(session, user_id, code)


async def _verify_passkey(session: Session, user_id: UUID, credential: dict[str, Any]) -> bool:
    try:
        await finish_asserting(session, SECOND_FACTOR, credential, user_id)
    except CeremonyError as error:
        audit("passkey rejected", user_id=str(user_id), reason=str(error))
        return False
    return True
