"""The tables of jobs that wait, run or failed, and of schedules."""

from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import JSON, Index, Row, String, Text
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from app.core.models import Base, utc_now

# What a worker needs of a job that it has claimed; `attempt` identifies the claim.
Claim: TypeAlias = Row[*tuple[Any, ...]]


class QueuedJob(Base):
    """A job that waits, runs or failed; the transaction that does its work deletes it."""

    __tablename__ = "queued_job"
    __table_args__ = (Index(None, "priority", "due_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str] = mapped_column(String(200))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Smaller numbers run first.
    priority: Mapped[int] = mapped_column(default=0)
    # Of a claimed job, the end of its lease; NULL for a failed job.
    due_at: Mapped[datetime | None] = mapped_column(default=utc_now)
    attempts: Mapped[int] = mapped_column(default=0)
    # The worker that has claimed the job.
    worker: Mapped[str | None] = mapped_column(String(200))
    # Case-sensitive on all databases.
    unique_key: Mapped[str | None] = mapped_column(
        String(200).with_variant(String(200, collation="utf8mb4_bin"), "mysql", "mariadb"),
        unique=True,
    )
    error: Mapped[str | None] = mapped_column(Text)
    failed_at: Mapped[datetime | None]
    # Of the request that enqueued the job.
    request_id: Mapped[str | None] = mapped_column(String(128))
    traceparent: Mapped[str | None] = mapped_column(String(55))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class JobSchedule(Base):
    """A schedule of a job; the job has been enqueued for all due times up to `handled_until`.

    While old and new workers have different cron expressions, each has a row of its own.
    """

    __tablename__ = "job_schedule"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    # A cron expression and a time zone.
    schedule: Mapped[str] = mapped_column(String(200), primary_key=True)
    handled_until: Mapped[datetime]
