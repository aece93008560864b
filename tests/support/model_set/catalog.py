"""Single-table inheritance, trees, composite keys, generated columns, names of 60 characters."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned
from app.modules.accounts.models import DOCUMENT

LONG = "recommendation_of_products_that_were_viewed_in_one_session_x"


class Category(Entity):
    __tablename__ = "category"

    name: Mapped[str] = mapped_column(sa.String(80))
    parent_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("category.id"), index=True)
    path: Mapped[str] = mapped_column(sa.String(255), unique=True, index=True)


class Product(Versioned, Entity):
    __tablename__ = "product"
    __table_args__ = (
        sa.CheckConstraint("price >= 0 AND price < 1000000", name="price_range"),
        sa.CheckConstraint("kind IN ('book', 'disc', 'it''s: 5%')", name="known_kind"),
        sa.Index("ix_product_kind_price", "kind", "price"),
    )

    kind: Mapped[str] = mapped_column(sa.String(20))
    sku: Mapped[str] = mapped_column(sa.CHAR(12), unique=True)
    title: Mapped[str] = mapped_column(sa.Unicode(200), index=True)
    summary: Mapped[str | None] = mapped_column(sa.Text)
    body: Mapped[str | None] = mapped_column(
        sa.UnicodeText().with_variant(LONGTEXT(), "mysql", "mariadb")
    )
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), server_default="0.00")
    tax: Mapped[Decimal] = mapped_column(sa.Numeric(5, 4), server_default=sa.text("0.19"))
    gross: Mapped[Decimal | None] = mapped_column(
        sa.Numeric(12, 2), sa.Computed("price * (1 + tax)", persisted=True)
    )
    attributes: Mapped[dict[str, Any]] = mapped_column(DOCUMENT, default=dict)
    tags: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    released_on: Mapped[date | None]
    duration: Mapped[timedelta | None] = mapped_column(sa.Interval)

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_abstract": True}


class Book(Product):
    pages: Mapped[int | None] = mapped_column(sa.Integer, use_existing_column=True)
    isbn: Mapped[str | None] = mapped_column(sa.String(13), unique=True)

    __mapper_args__ = {"polymorphic_identity": "book"}


class Disc(Product):
    label_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("organization.id"))

    __mapper_args__ = {"polymorphic_identity": "disc"}


product_category = sa.Table(
    "product_category",
    Base.metadata,
    sa.Column("product_id", sa.ForeignKey("product.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("category_id", sa.ForeignKey("category.id"), primary_key=True, index=True),
    sa.Column("position", sa.Integer, nullable=False, server_default="1"),
    sa.Column("added_at", sa.DateTime, server_default=sa.func.current_timestamp()),
)


class PriceList(Base):
    __tablename__ = "price_list"

    region: Mapped[str] = mapped_column(sa.CHAR(2), primary_key=True)
    year: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    currency: Mapped[str] = mapped_column(sa.CHAR(3), server_default="EUR")


class Price(Base):
    __tablename__ = "price"
    __table_args__ = (
        sa.ForeignKeyConstraint(["region", "year"], ["price_list.region", "price_list.year"]),
        sa.Index(None, "product_id", "valid_from", unique=True),
    )

    product_id: Mapped[UUID] = mapped_column(sa.ForeignKey("product.id"), primary_key=True)
    region: Mapped[str] = mapped_column(sa.CHAR(2), primary_key=True)
    year: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    valid_from: Mapped[datetime]
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(18, 6))
    discount: Mapped[float] = mapped_column(sa.Float, server_default=sa.text("0.5"))


class Recommendation(Base):
    """Its constraints have names of more than 63 characters, which databases do not accept."""

    __tablename__ = LONG
    __table_args__ = (
        sa.UniqueConstraint("product_id", "other_product_id"),
        sa.CheckConstraint(
            "score_of_recommendation_from_the_first_model_of_the_department >= 0", name="score"
        ),
    )

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True
    )
    product_id: Mapped[UUID] = mapped_column(sa.ForeignKey("product.id", ondelete="CASCADE"))
    other_product_id: Mapped[UUID] = mapped_column(sa.ForeignKey("product.id"), index=True)
    score_of_recommendation_from_the_first_model_of_the_department: Mapped[float] = mapped_column(
        index=True
    )
    is_confirmed_by_at_least_one_editor_of_the_catalog_department: Mapped[bool | None]


class Explanation(Base):
    __tablename__ = "explanation"

    id: Mapped[int] = mapped_column(primary_key=True)
    recommendation_id: Mapped[int] = mapped_column(sa.ForeignKey(f"{LONG}.id"), index=True)
    text: Mapped[str] = mapped_column(sa.String(2000), server_default=sa.text("''"))
