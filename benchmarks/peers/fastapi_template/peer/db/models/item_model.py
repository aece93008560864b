from datetime import UTC, datetime
from uuid import UUID

from peer.db.base import Base
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.sqltypes import DateTime, String
from uuid_utils.compat import uuid7


def utc_now() -> datetime:
    """
    Get current time.

    :return: time in UTC.
    """
    return datetime.now(UTC)


class ItemModel(Base):
    """Model for items."""

    __tablename__ = "item"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=utc_now
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True),
        default=utc_now,
        onupdate=utc_now,
    )
    version: Mapped[int] = mapped_column(default=1)
    name: Mapped[str] = mapped_column(String(length=200))
    description: Mapped[str | None] = mapped_column(String(length=2000))
