"""Recovery codes, each of which replaces a lost factor once."""

import base64
import secrets
from uuid import UUID

from sqlalchemy import delete, func, insert, select

from app.core.database import Session
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.tables import RECOVERY_CODES
from app.core.users.tokens import hash_token

COUNT = 10
# 24 characters of Base32, without padding. From 112 bits on, a fast hash without a salt is enough.
BYTES = 15
GROUP = 4


async def replace_recovery_codes(session: Session, user_id: UUID) -> list[str]:
    """Return new codes, such as `GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV`; older ones become invalid."""
    await delete_recovery_codes(session, user_id)
    codes = [_new_code() for _ in range(COUNT)]
    rows = [
        {"code_hash": hash_code(code), "user_id": user_id, "created_at": utc_now()}
        for code in codes
    ]
    await session.execute(insert(RECOVERY_CODES), rows)
    return codes


async def use_recovery_code(session: Session, user_id: UUID, code: str) -> bool:
    """Return whether a code of the account is valid, and delete it."""
    is_valid = (RECOVERY_CODES.c.code_hash == hash_code(code), RECOVERY_CODES.c.user_id == user_id)
    return await affected_rows(session, delete(RECOVERY_CODES).where(*is_valid)) == 1


async def count_recovery_codes(session: Session, user_id: UUID) -> int:
    statement = (
        select(func.count()).select_from(RECOVERY_CODES).where(RECOVERY_CODES.c.user_id == user_id)
    )
    return await session.scalar(statement) or 0


async def delete_recovery_codes(session: Session, user_id: UUID) -> None:
    await session.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user_id == user_id))


def hash_code(code: str) -> str:
    """Return what is stored of a code; the spelling with or without hyphens is the same."""
    return hash_token("".join(code.replace("-", "").split()).upper())


def _new_code() -> str:
    code = base64.b32encode(secrets.token_bytes(BYTES)).decode()
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))
