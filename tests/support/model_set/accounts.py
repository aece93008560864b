"""Joined-table inheritance, an association with columns of its own, a self-reference."""

from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned

# Its defaults are in parentheses: MySQL accepts only expressions for JSON.
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


class Role(Enum):
    OWNER = "owner"
    MEMBER = "member (read/write)"
    GUEST = "guest: 50% [limited]"


class Organization(Versioned, Entity):
    __tablename__ = "organization"
    __table_args__ = (
        sa.CheckConstraint("length(slug) > 2", name="slug_length"),
        {"comment": "Customers; it's the root of 100% of the data: \\ included"},
    )

    slug: Mapped[str] = mapped_column(sa.String(64), unique=True, comment="In URLs: 'a-z'")
    name: Mapped[str] = mapped_column(sa.String(200), server_default='it\'s 100% "new": \\o/')
    settings: Mapped[dict[str, Any]] = mapped_column(
        DOCUMENT, server_default=sa.text("('{\"a\": [1, 2]}')")
    )
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.true())
    is_internal: Mapped[bool] = mapped_column(
        sa.Boolean(name="is_internal", create_constraint=True), server_default=sa.false()
    )
    parent_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("organization.id", ondelete="SET NULL"), index=True
    )


class Principal(Entity):
    __tablename__ = "principal"

    kind: Mapped[str] = mapped_column(sa.String(20))
    organization_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("organization.id", ondelete="CASCADE"), index=True
    )

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "principal"}


class Person(Principal):
    __tablename__ = "person"
    __table_args__ = (
        sa.UniqueConstraint("email"),
        sa.Index(None, "family_name", "given_name"),
    )

    id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("principal.id", ondelete="CASCADE"), primary_key=True
    )
    email: Mapped[str] = mapped_column(sa.String(254))
    family_name: Mapped[str] = mapped_column(sa.String(100))
    given_name: Mapped[str | None] = mapped_column(sa.String(100))
    last_seen_at: Mapped[datetime | None]

    __mapper_args__ = {"polymorphic_identity": "person"}


class ServiceAccount(Principal):
    __tablename__ = "service_account"

    id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("principal.id", ondelete="CASCADE"), primary_key=True
    )
    owner_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("person.id"), index=True)
    scopes: Mapped[list[str]] = mapped_column(
        DOCUMENT, default=list, server_default=sa.text("('[]')")
    )

    # It also has a path to its parent by way of its owner.
    __mapper_args__ = {
        "polymorphic_identity": "service",
        "inherit_condition": id == Principal.id,  # noqa: A003
    }


class Team(Entity):
    __tablename__ = "team"
    __table_args__ = (
        sa.UniqueConstraint("organization_id", "name"),
        # What a composite foreign key of another table refers to.
        sa.UniqueConstraint("id", "organization_id"),
        sa.CheckConstraint("parent_id <> id", name="not_its_own_parent"),
    )

    organization_id: Mapped[UUID] = mapped_column(sa.ForeignKey("organization.id"))
    parent_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("team.id"))
    name: Mapped[str] = mapped_column(sa.String(80))
    position: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))


class Membership(Base):
    __tablename__ = "membership"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["team_id", "organization_id"],
            ["team.id", "team.organization_id"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )

    team_id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    organization_id: Mapped[UUID]
    role: Mapped[Role] = mapped_column(server_default=Role.GUEST.value)
    joined_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    rank: Mapped[int] = mapped_column(sa.Integer, server_default="-1", index=True)
