"""What every model stands on: naming convention, portable types, key, timestamps and version."""

import enum
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Dialect, Enum, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

# Imported for its listener, which reads back stored values.
from app.core import dialect, stored_values  # noqa: F401


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with microseconds: aware in Python, UTC in the database, on every database."""

    impl = dialect.DATETIME
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def stores_unchanged(self, value: datetime) -> bool:
        """Return whether a value is stored unchanged; one in another time zone is not."""
        return value.tzinfo is UTC or not value.utcoffset()

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # asyncpg's moments are in UTC, and there are two in each row.
        return None if dialect.driver == "asyncpg" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The base of every model; constraints have names, because only those can be dropped later."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {
        UUID: dialect.UUID,
        datetime: UtcDateTime(),
        str: String(255),
        # Native types outlive their table and need a migration for each new value.
        enum.Enum: Enum(
            enum.Enum,
            native_enum=False,
            length=40,
            values_callable=lambda values: [value.value for value in values],
        ),
    }
    # Values that the database makes are read at once: asyncio cannot load them later.
    __mapper_args__ = {"eager_defaults": True}


def utc_now() -> datetime:
    """Return this moment, aware."""
    return datetime.now(UTC)


class Entity(Base):
    """A model with a key that grows with time, and the moments of its making and last change."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now, sort_order=1)

    @classmethod
    def visibility(cls) -> tuple[ColumnElement[bool], ...]:
        """Return the conditions on rows that readers find: none, here."""
        return ()

    def mark_deleted(self) -> bool:
        """Mark this as deleted; False, as here, means that its row has to go instead."""
        return False


class Versioned:
    """A model whose `version` grows with each change.

    A change or deletion of a row that another transaction changed since it was read raises
    StaleDataError: clients that sent `If-Match` get a 412, other requests are retried.
    https://docs.sqlalchemy.org/en/21/orm/versioning.html
    """

    version: Mapped[int] = mapped_column(sort_order=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version, "eager_defaults": True}
