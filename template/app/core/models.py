"""Base classes of models: naming convention, portable types, key, timestamps and version."""

import enum
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Constraint,
    Dialect,
    Enum,
    MetaData,
    String,
    Table,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

# Imported for its listener, which reads back stored values.
from app.core import dialect, stored_values  # noqa: F401


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime with microseconds: time-zone aware in Python, UTC in every database."""

    impl = dialect.DATETIME
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def stores_unchanged(self, value: datetime) -> bool:
        """Return whether a value is read back as it is; one in another time zone is not."""
        return value.tzinfo is UTC or not value.utcoffset()

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # asyncpg returns UTC, and each row has two timestamps to convert.
        return None if dialect.driver == "asyncpg" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def check_constraint_name(constraint: Constraint, table: Table) -> str:
    """Return the name of a CHECK constraint: for that of a type, by default, its column's.

    Raises InvalidRequestError for any other constraint without a name.
    """
    if isinstance(constraint.name, str):
        return constraint.name
    if constraint._type_bound and isinstance(constraint, CheckConstraint):
        return constraint.columns[0].name
    raise InvalidRequestError(
        f"Table {table.name}: a CHECK constraint has no name, without which it cannot be dropped;"
        " expected CheckConstraint(…, name='price_is_positive')"
    )


class Base(DeclarativeBase):
    """The base of all models. Constraints are named, because unnamed ones cannot be dropped."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "constraint_name": check_constraint_name,
        }
    )
    type_annotation_map = {
        UUID: dialect.UUID,
        datetime: UtcDateTime(),
        str: String(255),
        # Native enums outlive their table and need a migration for each new value.
        enum.Enum: Enum(
            enum.Enum,
            native_enum=False,
            length=40,
            values_callable=lambda values: [value.value for value in values],
        ),
    }
    # Fetched on flush: with asyncio, they cannot be loaded on access.
    __mapper_args__ = {"eager_defaults": True}


def utc_now() -> datetime:
    """Return the current time in UTC, time-zone aware."""
    return datetime.now(UTC)


class Versioned:
    """A model whose `version` is incremented by each change.

    Changing or deleting a row that another transaction has changed since it was read raises
    StaleDataError: a request with `If-Match` gets a 412, any other is retried.
    https://docs.sqlalchemy.org/en/21/orm/versioning.html
    """

    version: Mapped[int] = mapped_column(sort_order=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version, "eager_defaults": True}


# Add your own base classes below; template updates add theirs above.


class Entity(Base):
    """A model with a time-ordered key, and timestamps of its creation and last change."""

    __abstract__ = True

    soft_delete: ClassVar[bool] = False
    """Whether repositories call `mark_deleted` instead of deleting the row."""

    @classmethod
    def default_criteria(cls) -> tuple[ColumnElement[bool], ...]:
        """Return the conditions that every read of rows applies."""
        return ()

    def mark_deleted(self) -> None:
        """Mark the row as deleted. Raises NotImplementedError unless `soft_delete` is set."""
        raise NotImplementedError

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(default=utc_now, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now, sort_order=1)
