"""The table of idempotency keys that a module declares; see docs/idempotency.md."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core import dialect
from app.core.models import Base


class IdempotencyRecord(Base):
    """A key that a request claimed and, from the commit of that request on, its response."""

    __abstract__ = True

    # Hashes in hexadecimal of the key, of any length, and of the request.
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    # Differs for each request that claims the key, one after the other.
    claim: Mapped[UUID]
    # When a key without a response may be claimed by another request, or a response is forgotten.
    expires_at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int | None]
    headers: Mapped[str | None] = mapped_column(Text)
    body: Mapped[bytes | None] = mapped_column(dialect.BINARY)
