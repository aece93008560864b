"""Types of all kinds, with arguments, and types of the application's own."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from app.core.models import Base, Entity


class Encrypted(TypeDecorator[str]):
    """Text that is stored as bytes; its arguments are not those of the type that it wraps."""

    impl = sa.LargeBinary
    cache_ok = True

    def __init__(self, key: str, *, length: int = 2000) -> None:
        super().__init__(length)
        self.key = key


class Money(TypeDecorator[Decimal]):
    impl = sa.Numeric
    cache_ok = True

    def __init__(self, digits: int = 18) -> None:
        super().__init__(digits, 4)


class Sensor(Entity):
    __tablename__ = "sensor"

    serial: Mapped[UUID] = mapped_column(sa.Uuid(native_uuid=False), unique=True)
    token: Mapped[str] = mapped_column(Encrypted("k1"))
    secret: Mapped[str | None] = mapped_column(Encrypted("k2", length=1000))
    cost: Mapped[Decimal] = mapped_column(Money(12))
    interval: Mapped[timedelta] = mapped_column(sa.Interval, index=True)
    opens_at: Mapped[time | None] = mapped_column(sa.Time)
    installed_on: Mapped[date] = mapped_column(sa.Date, server_default="2026-01-01")
    calibrated_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))


class Measurement(Base):
    __tablename__ = "measurement"

    sensor_id: Mapped[UUID] = mapped_column(sa.ForeignKey("sensor.id"), primary_key=True)
    taken_at: Mapped[datetime] = mapped_column(primary_key=True)
    exact: Mapped[float] = mapped_column(sa.Float)
    rough: Mapped[float] = mapped_column(sa.Float, server_default="0")
    double: Mapped[float] = mapped_column(sa.Double)
    short: Mapped[float | None] = mapped_column(sa.Float(24))
    long: Mapped[float | None] = mapped_column(sa.Float(53), index=True)
    real: Mapped[float | None] = mapped_column(sa.REAL)
    fixed: Mapped[Decimal] = mapped_column(sa.Numeric(20, 10))
    unbounded: Mapped[Decimal | None] = mapped_column(sa.Numeric)
    count: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    raw: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    digest: Mapped[bytes | None] = mapped_column(sa.LargeBinary(255))
    payload: Mapped[Any] = mapped_column(sa.PickleType, nullable=True)
    is_valid: Mapped[bool] = mapped_column(
        sa.Boolean(name="is_valid", create_constraint=True), server_default=sa.true()
    )


class Alarm(Base):
    __tablename__ = "alarm"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["sensor_id", "taken_at"], ["measurement.sensor_id", "measurement.taken_at"]
        ),
        sa.Index(None, "sensor_id", "taken_at"),
    )

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    sensor_id: Mapped[UUID]
    taken_at: Mapped[datetime]
    level: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.CheckConstraint("level > 0", name="level")
    )
