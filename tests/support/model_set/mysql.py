"""What only MariaDB and MySQL have: unsigned numbers, sets, prefix and full-text indexes."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base


class Document(Base):
    __tablename__ = "document"
    __table_args__ = (
        sa.Index("ix_document_body_prefix", "body", mysql_length=20),
        sa.Index("ix_document_size", sa.text("size DESC")),
        sa.Index("ix_document_words", "title", mysql_prefix="FULLTEXT"),
        {"mysql_engine": "InnoDB", "comment": "Text, and what's in it: 100%"},
    )

    id: Mapped[int] = mapped_column(mysql.BIGINT(unsigned=True), primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(200, collation="utf8mb4_bin"))
    body: Mapped[str | None] = mapped_column(mysql.MEDIUMTEXT)
    size: Mapped[int] = mapped_column(mysql.INTEGER(unsigned=True), server_default="0")
    tiny: Mapped[int] = mapped_column(mysql.TINYINT, server_default="3")
    options: Mapped[Any] = mapped_column(mysql.SET("a", "b"), server_default="a")
    state: Mapped[str] = mapped_column(mysql.ENUM("new", "it's"), server_default="it's")
    year: Mapped[int | None] = mapped_column(mysql.YEAR)
    at: Mapped[datetime] = mapped_column(
        mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)")
    )
    touched_at: Mapped[datetime | None] = mapped_column(
        mysql.TIMESTAMP,
        server_default=sa.text("CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"),
    )
    doubled: Mapped[int | None] = mapped_column(sa.Computed("size * 2", persisted=False))
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("document.id"))
