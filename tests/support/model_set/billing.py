"""Composite primary and foreign keys, money, and what is decided by CHECK constraints."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity


class Status(Enum):
    DRAFT = "draft"
    SENT = "sent"
    PAID = "paid"


STATUS = sa.Enum(
    Status,
    name="status",
    native_enum=False,
    create_constraint=True,
    length=20,
    values_callable=lambda kind: [member.value for member in kind],
)


class Invoice(Base):
    __tablename__ = "invoice"
    __table_args__ = (
        sa.CheckConstraint("due_on >= issued_on", name="due_after_issue"),
        sa.Index("ix_invoice_reference", "reference", postgresql_using="hash").ddl_if(
            dialect="postgresql"
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("organization.id", ondelete="RESTRICT"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reference: Mapped[str] = mapped_column(sa.String(40))
    status: Mapped[Status] = mapped_column(STATUS, server_default="draft", index=True)
    issued_on: Mapped[date]
    due_on: Mapped[date]
    total: Mapped[Decimal] = mapped_column(sa.Numeric(14, 2), default=Decimal(0))


class InvoiceLine(Base):
    __tablename__ = "invoice_line"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["organization_id", "invoice_number"],
            ["invoice.organization_id", "invoice.number"],
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("quantity > 0", name="quantity"),
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    invoice_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    product_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("product.id", ondelete="SET NULL"), index=True
    )
    quantity: Mapped[Decimal] = mapped_column(sa.Numeric(10, 3), server_default="1")
    unit_price: Mapped[Decimal] = mapped_column(sa.Numeric(14, 4))
    amount: Mapped[Decimal | None] = mapped_column(
        sa.Numeric(16, 2), sa.Computed("quantity * unit_price", persisted=True)
    )


class Payment(Entity):
    __tablename__ = "payment"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["organization_id", "invoice_number"], ["invoice.organization_id", "invoice.number"]
        ),
        sa.Index(None, "organization_id", "invoice_number"),
    )

    organization_id: Mapped[UUID]
    invoice_number: Mapped[int]
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(14, 2))
    paid_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    method: Mapped[str] = mapped_column(
        sa.Enum("card", "transfer", "other: 'cash'", name="method", native_enum=False)
    )


class Refund(Base):
    __tablename__ = "refund"

    payment_id: Mapped[UUID] = mapped_column(sa.ForeignKey("payment.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(sa.String(400), server_default="C:\\temp\\%s :name ?")
