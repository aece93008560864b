"""Names that have to be quoted, and text that has to be escaped."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base
from app.modules.accounts.models import DOCUMENT


class Order(Base):
    __tablename__ = "order"
    __table_args__ = (
        sa.UniqueConstraint("group", "key"),
        sa.Index("ix_order_desc", "desc"),
        {"comment": "What was ordered: 'yes', 100% \"sure\""},
    )

    select: Mapped[int] = mapped_column(primary_key=True)
    group: Mapped[str] = mapped_column(sa.String(40), server_default="'quoted'")
    key: Mapped[str] = mapped_column(sa.String(40), server_default='double "quotes"')
    desc: Mapped[str] = mapped_column(sa.String(40), server_default="back\\slash")
    where: Mapped[str] = mapped_column(sa.String(40), server_default=":colon ::double")
    like: Mapped[str] = mapped_column(sa.String(40), server_default="100%% 5% %s %(name)s")
    values: Mapped[str] = mapped_column(sa.String(40), server_default="line\nbreak; -- comment")
    default: Mapped[str] = mapped_column(sa.String(40), server_default="日本 🎉 {braces}")
    null: Mapped[str | None] = mapped_column(sa.String(40), server_default="NULL")
    true: Mapped[str] = mapped_column(sa.String(5), server_default="true")
    zero: Mapped[str] = mapped_column(sa.String(5), server_default="007")
    empty: Mapped[str] = mapped_column(sa.String(5), server_default="")
    space: Mapped[str] = mapped_column(sa.String(5), server_default=" ")
    now: Mapped[str] = mapped_column(sa.String(9), server_default="now()")


class AuditLog(Base):
    __tablename__ = "AuditLog"
    __table_args__ = (
        sa.CheckConstraint("\"changedKeys\" <> '100% \\:x'", name="changedKeys").ddl_if(
            dialect="postgresql"
        ),
        sa.Index("IX_AuditLog_Entity", "entityType", "entityId"),
    )

    logId: Mapped[int] = mapped_column(primary_key=True)  # noqa: N815
    entityType: Mapped[str] = mapped_column(sa.String(40))  # noqa: N815
    entityId: Mapped[str] = mapped_column(sa.String(40), index=True)  # noqa: N815
    changedKeys: Mapped[str] = mapped_column(sa.String(40), server_default="Id")  # noqa: N815
    orderId: Mapped[int | None] = mapped_column(sa.ForeignKey("order.select"))  # noqa: N815
    previousId: Mapped[int | None] = mapped_column(sa.ForeignKey("AuditLog.logId"))  # noqa: N815
    loggedAt: Mapped[datetime] = mapped_column(server_default=sa.func.now())  # noqa: N815


class Note(Base):
    """The words of the languages that read and write revisions."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    column_: Mapped[str] = mapped_column("column", sa.String(9), comment="A 'column': 5%")
    metadata_: Mapped[Any] = mapped_column(
        "metadata", DOCUMENT, server_default=sa.text("""('{"%": "\\:x"}')""")
    )
    import_: Mapped[str | None] = mapped_column("import", sa.String(9))
    with_space: Mapped[str | None] = mapped_column("with space", sa.String(9))
    umlaut: Mapped[str | None] = mapped_column("größe", sa.String(9), index=True)
