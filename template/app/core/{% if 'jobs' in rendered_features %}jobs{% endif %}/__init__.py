"""Background jobs, stored in the database; see docs/jobs.md."""

from app.core.jobs.models import JobSchedule as JobSchedule
from app.core.jobs.models import QueuedJob as QueuedJob
