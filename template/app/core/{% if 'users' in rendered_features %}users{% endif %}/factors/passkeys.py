"""The passkeys and security keys of accounts."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, delete, func, or_, select, update

from app.core.database import Session, StoredRow, read_rows
from app.core.errors import ConflictError, NotFoundError
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.models import UserPasskey
from app.core.users.tables import PASSKEYS

MAX_PASSKEYS = 20

LIST = (
    select(*(PASSKEYS.c.id, PASSKEYS.c.name, PASSKEYS.c.created_at, PASSKEYS.c.last_used_at))
    .where(PASSKEYS.c.user_id == bindparam("user_id"))
    .order_by(PASSKEYS.c.id)
)


def hash_credential_id(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


async def list_passkeys(session: Session, user_id: UUID) -> Sequence[StoredRow]:
    return await read_rows(session, LIST, {"user_id": user_id})


async def find_keys(session: Session, user_id: UUID) -> Sequence[UserPasskey]:
    """Return the passkeys of an account, with what browsers need to find them."""
    statement = select(UserPasskey).where(UserPasskey.user_id == user_id).order_by(UserPasskey.id)
    return (await session.scalars(statement)).all()


async def find_key(session: Session, credential_id: bytes) -> UserPasskey | None:
    hashed = hash_credential_id(credential_id)
    return await session.scalar(select(UserPasskey).where(UserPasskey.credential_hash == hashed))


async def add_passkey(session: Session, passkey: UserPasskey) -> UserPasskey:
    """Insert a passkey; raises ConflictError for one too many."""
    mine = select(func.count()).select_from(PASSKEYS).where(PASSKEYS.c.user_id == passkey.user_id)
    if (await session.scalar(mine) or 0) >= MAX_PASSKEYS:
        raise ConflictError(f"An account can have {MAX_PASSKEYS} passkeys; delete one first.")
    session.add(passkey)
    await session.flush()
    return passkey


async def store_sign_count(
    session: Session, passkey: UserPasskey, sign_count: int, login_domain: str | None
) -> bool:
    """Store the counter of a passkey; return False if it did not increase: it may be a copy.

    A passkey whose counter is always 0 does not count its uses. `login_domain` is set if it logs in
    alone.
    """
    increases = or_(PASSKEYS.c.sign_count < sign_count, PASSKEYS.c.sign_count + sign_count == 0)
    statement = (
        update(PASSKEYS)
        .where(PASSKEYS.c.id == passkey.id, increases)
        .values(
            sign_count=sign_count,
            last_used_at=utc_now(),
            login_domain=login_domain or PASSKEYS.c.login_domain,
        )
    )
    return await affected_rows(session, statement) == 1


async def rename_passkey(session: Session, user_id: UUID, passkey_id: UUID, name: str) -> None:
    """Rename a passkey of the account; raises NotFoundError."""
    passkey = await _get(session, user_id, passkey_id)
    passkey.name = name
    await session.flush()


async def delete_passkey(session: Session, user_id: UUID, passkey_id: UUID) -> None:
    """Delete a passkey of the account; raises NotFoundError."""
    passkey = await _get(session, user_id, passkey_id)
    await session.delete(passkey)
    await session.flush()


async def delete_passkeys(session: Session, user_id: UUID) -> None:
    await session.execute(delete(PASSKEYS).where(PASSKEYS.c.user_id == user_id))


async def _get(session: Session, user_id: UUID, passkey_id: UUID) -> UserPasskey:
    passkey = await session.get(UserPasskey, passkey_id)
    if passkey is None or passkey.user_id != user_id:
        raise NotFoundError("passkey", passkey_id)
    return passkey
