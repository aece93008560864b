"""What a failed migration reports: the revision, what was committed, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app.core.migrations.dialect import MigrationSession, is_lock_timeout
from app.core.migrations.squashed import explain_squashed


@contextmanager
def report_failures(context: MigrationContext, session: MigrationSession) -> Iterator[None]:
    """Add a report to any error that a revision raises.

    Raises CommandError for a database error; other exceptions get the report as notes.
    """
    steps = _record_steps(context, session)
    try:
        yield
    except (DBAPIError, CommandError) as error:
        if isinstance(error, DBAPIError):
            reasons = _database_error(error, session)
        else:
            reasons = [(None if steps else explain_squashed(context)) or str(error)]
        raise CommandError("\n".join([*_failure_report(steps, session), *reasons])) from error
    except Exception as error:
        for line in _failure_report(steps, session):
            error.add_note(line)
        raise


def _record_steps(context: MigrationContext, session: MigrationSession) -> list[Any]:
    """Return a list that grows by each revision that starts, with fresh timeouts for each."""
    steps: list[Any] = []
    find_steps: Any = context._migrations_fn

    def record(heads: Any, context: Any) -> Iterator[Any]:
        for step in find_steps(heads, context):
            if steps:
                # The previous revision may have changed the timeouts.
                session.set_up()
            steps.append(step)
            yield step

    context._migrations_fn = record
    return steps


def _database_error(error: DBAPIError, session: MigrationSession) -> list[str]:
    reasons = [str(error.orig), error.statement or ""]
    if is_lock_timeout(error):
        reasons.append(
            "Another session holds a lock on a table or row that the revision needs for longer than"
            f" MIGRATION_LOCK_TIMEOUT ({session.settings.lock_timeout} s). Run this command again"
            " when that session has finished."
        )
    return reasons


def _failure_report(steps: list[Any], session: MigrationSession) -> list[str]:
    if not steps:
        return []
    *done, failed = map(str, steps)
    if session.in_caller_transaction:
        committed = "The caller has to roll back the rest of its transaction."
    else:
        committed = f"Committed earlier in this run: {'; '.join(done) or 'nothing'}."
    return [f"{failed}: failed.", session.EFFECT_OF_FAILURE, committed]
