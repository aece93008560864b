"""What SQLite has of its own: partial and expression indexes, collations, conflict clauses."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base


class Document(Base):
    __tablename__ = "document"
    __table_args__ = (
        sa.Index("ix_document_lower_title", sa.text("lower(title)")),
        sa.Index("ix_document_size", sa.text("size DESC")),
        sa.Index("ix_document_live", "title", sqlite_where=sa.text("size > 0")),
        sa.UniqueConstraint("title", "size", sqlite_on_conflict="REPLACE"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(200, collation="NOCASE"))
    size: Mapped[int] = mapped_column(server_default=sa.text("(1 + 1)"))
    area: Mapped[int | None] = mapped_column(sa.Computed("size * size", persisted=True))
    parent_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("document.id", deferrable=True, initially="DEFERRED")
    )
