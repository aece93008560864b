"""The table of idempotency keys, which a module declares; see docs/idempotency.md."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core import dialect
from app.core.models import Base


class IdempotencyRecord(Base):
    """A key that a request claimed and, after its commit, the response."""

    __abstract__ = True

    # Hexadecimal hashes of the key and of the request.
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    # New for each request that claims the key.
    claim: Mapped[UUID]
    # When another request may claim a key without a response, or a response expires.
    expires_at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int | None]
    headers: Mapped[str | None] = mapped_column(Text)
    body: Mapped[bytes | None] = mapped_column(dialect.BINARY)
