"""Jobs: work after a request, enqueued in its transaction; see docs/jobs.md."""

from app.core.jobs.queue import cancel, enqueue, requeue
from app.core.jobs.registry import CurrentJob, Job, NextStep, PermanentError, current_job, job
from app.core.jobs.schedules import schedule

__all__ = [
    "CurrentJob",
    "Job",
    "NextStep",
    "PermanentError",
    "cancel",
    "current_job",
    "enqueue",
    "job",
    "requeue",
    "schedule",
]
