"""Cycles of foreign keys, with and without `use_alter`, and rows that refer to their own table."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity
from app.modules.accounts.models import DOCUMENT


class Workflow(Entity):
    __tablename__ = "workflow"

    name: Mapped[str] = mapped_column(sa.String(80), unique=True)
    current_version_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("workflow_version.id"))


class WorkflowVersion(Entity):
    __tablename__ = "workflow_version"
    __table_args__ = (sa.UniqueConstraint("workflow_id", "number"),)

    workflow_id: Mapped[UUID] = mapped_column(sa.ForeignKey("workflow.id", ondelete="CASCADE"))
    number: Mapped[int]
    definition: Mapped[dict[str, Any]] = mapped_column(DOCUMENT)


class Run(Entity):
    __tablename__ = "run"

    workflow_version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("workflow_version.id"))
    started_by_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("principal.id"))
    last_task_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("task.id", use_alter=True, ondelete="SET NULL")
    )
    retry_of_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("run.id", use_alter=True), unique=True
    )


class Task(Entity):
    __tablename__ = "task"

    run_id: Mapped[UUID] = mapped_column(sa.ForeignKey("run.id", ondelete="CASCADE"), index=True)
    last_attempt_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("attempt.id"))
    name: Mapped[str]


class Attempt(Entity):
    __tablename__ = "attempt"

    task_id: Mapped[UUID] = mapped_column(sa.ForeignKey("task.id"), index=True)
    log_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("attempt_log.id"))
    finished_at: Mapped[datetime | None]


class AttemptLog(Entity):
    __tablename__ = "attempt_log"

    task_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("task.id"))
    text: Mapped[str | None] = mapped_column(sa.Text)


task_dependency = sa.Table(
    "task_dependency",
    Base.metadata,
    sa.Column("task_id", sa.ForeignKey("task.id"), primary_key=True),
    sa.Column("needed_task_id", sa.ForeignKey("task.id"), primary_key=True),
)
