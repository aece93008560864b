"""Codes of authenticator apps (TOTP, RFC 6238): six digits, a new code every 30 seconds."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pyotp
from pyotp.exceptions import OTPVerificationError
from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from app.core.database import Session
from app.core.models import utc_now
from app.core.users.affected_rows import affected_rows
from app.core.users.factors.encryption import decrypt, encrypt
from app.core.users.models import UserTOTP
from app.core.users.tables import TOTP_APPS

INTERVAL = timedelta(seconds=30)
# Ages at which codes are accepted: also that of the step before, for delays.
# https://www.rfc-editor.org/rfc/rfc6238#section-5.2
ACCEPTED_AGES = (timedelta(), INTERVAL)
# 160 bits in Base32, as recommended by https://www.rfc-editor.org/rfc/rfc4226#section-4
SECRET_LENGTH = 32
# Time to confirm the secret that an app has scanned.
CONFIRMATION_TIME = timedelta(minutes=10)


async def start_totp(session: Session, user_id: UUID) -> str:
    """Store a new secret and return it; it is not a factor until `confirm_totp`.

    Raises MissingKeyError without a key to encrypt it with.
    """
    secret = pyotp.random_base32(SECRET_LENGTH)
    encrypted = encrypt(secret)
    await session.execute(
        delete(TOTP_APPS).where(TOTP_APPS.c.user_id == user_id, TOTP_APPS.c.confirmed_at.is_(None))
    )
    session.add(UserTOTP(user_id=user_id, encrypted_secret=encrypted, created_at=utc_now()))
    await session.flush()
    return secret


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """Return the `otpauth://` URI of a secret, which apps scan as a QR code."""
    # Apps split the label at the colon.
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer.replace(":", " "))


async def confirm_totp(session: Session, user_id: UUID, code: str) -> bool:
    """Make the secret of `start_totp` the factor if the code proves that an app has it.

    It replaces that of an earlier app. The account has to be locked.
    """
    now = utc_now()
    is_new = TOTP_APPS.c.confirmed_at.is_(None) & (TOTP_APPS.c.created_at > now - CONFIRMATION_TIME)
    app_id = await _use_code(session, user_id, code, is_new, confirmed_at=now)
    if app_id is None:
        return False
    await session.execute(
        delete(TOTP_APPS).where(TOTP_APPS.c.user_id == user_id, TOTP_APPS.c.id != app_id)
    )
    return True


async def verify_totp(session: Session, user_id: UUID, code: str) -> bool:
    """Return whether a code is valid, and use it up: the same code is refused from now on."""
    is_factor = TOTP_APPS.c.confirmed_at.is_not(None)
    return await _use_code(session, user_id, code, is_factor) is not None


def is_unconfirmed() -> ColumnElement[bool]:
    """Return the condition for rows of secrets that were not confirmed in time."""
    too_old = TOTP_APPS.c.created_at <= utc_now() - CONFIRMATION_TIME
    return and_(TOTP_APPS.c.confirmed_at.is_(None), too_old)


async def encrypt_again(session: Session) -> int:
    """Encrypt all secrets with the first key, in a transaction; return their number.

    Raises UndecryptableError if a key is missing.
    """
    rows = (await session.execute(select(TOTP_APPS.c.id, TOTP_APPS.c.encrypted_secret))).all()
    for app_id, old in rows:
        # Unless it has changed meanwhile, which encrypts it with the first key, too.
        is_same = (TOTP_APPS.c.id == app_id, TOTP_APPS.c.encrypted_secret == old)
        new = encrypt(decrypt(old))
        await session.execute(update(TOTP_APPS).where(*is_same).values(encrypted_secret=new))
    return len(rows)


async def delete_totp(session: Session, user_id: UUID) -> None:
    """Delete the authenticator app of an account, also an unconfirmed one."""
    await session.execute(delete(TOTP_APPS).where(TOTP_APPS.c.user_id == user_id))


async def _use_code(
    session: Session, user_id: UUID, code: str, condition: Any, **values: Any
) -> UUID | None:
    """Return the app that a code belongs to, after the code was used up; None if it is wrong."""
    is_mine = (TOTP_APPS.c.user_id == user_id, condition)
    columns = (TOTP_APPS.c.id, TOTP_APPS.c.encrypted_secret)
    row = (await session.execute(select(*columns).where(*is_mine))).one_or_none()
    if row is None:
        return None
    secret = decrypt(row.encrypted_secret)
    if (step := find_step(secret, code, utc_now())) is None:
        return None
    # Decided by this statement, so that of two requests with the same code, one fails.
    is_later = or_(TOTP_APPS.c.last_step.is_(None), TOTP_APPS.c.last_step < step)
    # Encrypted again, which after a rotation replaces the old key.
    values |= {"last_step": step, "encrypted_secret": encrypt(secret)}
    is_unused = (TOTP_APPS.c.id == row.id, is_later)
    result = await affected_rows(session, update(TOTP_APPS).where(*is_unused).values(**values))
    return row.id if result == 1 else None


def find_step(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step that a code belongs to, if it is accepted, or None."""
    totp = pyotp.TOTP(secret)
    for age in ACCEPTED_AGES:
        try:
            return totp.verify_and_get_timecode(code, for_time=now - age)
        except OTPVerificationError:
            continue
    return None
