"""What only PostgreSQL has: arrays, ranges, deferrable keys, indexes with methods and options."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity
from app.modules.accounts.models import Role
from app.modules.measurement.models import Money

ROLE = sa.Enum(Role, name="role", native_enum=False, length=40)


class Document(Entity):
    __tablename__ = "document"
    __table_args__ = (
        sa.Index(None, "labels", postgresql_using="gin"),
        sa.Index(None, "data", postgresql_using="gin", postgresql_ops={"data": "jsonb_path_ops"}),
        sa.Index(None, "title", postgresql_include=["size"]),
        sa.Index("ix_document_live", "title", postgresql_where=sa.text("deleted_at IS NULL")),
        sa.Index("ix_document_lower_title", sa.text("lower(title)")),
        sa.Index(None, "title", "deleted_at", unique=True, postgresql_nulls_not_distinct=True),
        sa.Index(None, "size", postgresql_with={"fillfactor": 70}),
        sa.Index(None, sa.desc("created_at").nulls_last()),
        sa.UniqueConstraint("title", "size", deferrable=True, initially="DEFERRED"),
        sa.UniqueConstraint("external_id", postgresql_nulls_not_distinct=True),
    )

    title: Mapped[str] = mapped_column(sa.String(200, collation="C"))
    size: Mapped[int] = mapped_column(server_default=sa.text("(1 + 1)"))
    labels: Mapped[list[str]] = mapped_column(
        postgresql.ARRAY(sa.String(20)), server_default=sa.text("'{}'")
    )
    roles: Mapped[list[Role]] = mapped_column(postgresql.ARRAY(ROLE), server_default="{OWNER}")
    prices: Mapped[list[Any] | None] = mapped_column(postgresql.ARRAY(Money(12)))
    grid: Mapped[list[Any] | None] = mapped_column(postgresql.ARRAY(sa.Integer, dimensions=2))
    data: Mapped[Any] = mapped_column(postgresql.JSONB, server_default=sa.text("'{}'::jsonb"))
    words: Mapped[Any] = mapped_column(
        postgresql.TSVECTOR,
        sa.Computed("to_tsvector('english', title || ' 100% \\:x')", persisted=True),
        nullable=True,
    )
    external_id: Mapped[UUID | None] = mapped_column(server_default=sa.text("gen_random_uuid()"))
    deleted_at: Mapped[datetime | None]
    parent_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("document.id", deferrable=True, initially="DEFERRED")
    )


class Reservation(Base):
    __tablename__ = "reservation"
    __table_args__ = (
        postgresql.ExcludeConstraint(
            ("period", "&&"), using="gist", where=sa.text("NOT is_cancelled"), name="no_overlap"
        ),
    )

    id: Mapped[int] = mapped_column(sa.Identity(always=True, start=1000), primary_key=True)
    period: Mapped[Any] = mapped_column(postgresql.TSTZRANGE)
    is_cancelled: Mapped[bool] = mapped_column(server_default=sa.false())
    address: Mapped[str | None] = mapped_column(postgresql.INET)
    device: Mapped[str | None] = mapped_column(postgresql.MACADDR)
    flags: Mapped[str | None] = mapped_column(postgresql.BIT(4, varying=True))
    until: Mapped[datetime] = mapped_column(
        postgresql.TIMESTAMP(timezone=True, precision=3),
        server_default=sa.text("now() + '1 day'::interval"),
    )
