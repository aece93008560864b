"""The migration lock: one process at a time changes the schema."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from app.core import dialect
from app.core.migrations.dialect import MigrationSession, fixed_search_path
from app.core.migrations.failures import report_failures
from app.core.settings import get_migration_settings

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2


@contextmanager
def migrating(context: MigrationContext, connection: Connection) -> Iterator[None]:
    """Hold the migration lock, with timeouts for statements, while revisions run.

    Commands that only read, such as `current` and `check`, take no lock.
    Raises CommandError if another process holds the lock for longer than MIGRATION_WAIT_TIMEOUT
    seconds, or if the database rejects a revision.
    """
    if "destination_rev" not in context.opts:
        with read_only(connection), fixed_search_path(context, connection):
            yield
        return
    settings = get_migration_settings()
    session = MigrationSession(connection, settings)
    if session.in_caller_transaction:
        logger.warning("Migrating in a transaction that the caller opened and has to commit")
    with _locked(session, settings.wait_timeout), report_failures(context, session):
        session.set_up()
        session.check_encoding(context)
        with fixed_search_path(context, connection):
            yield


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """Read in a transaction that blocks no writer; raises CommandError for a database error."""
    if connection.in_transaction():
        yield
        return
    original = connection.get_execution_options()
    connection.execution_options(**dialect.READ_ONLY)
    try:
        yield
        # The next command on this connection would join an open transaction and not be committed.
        connection.commit()
    except DBAPIError as error:
        raise CommandError(f"{error.orig}\n{error.statement}") from error
    finally:
        connection.rollback()
        connection.execution_options(**{name: original.get(name) for name in dialect.READ_ONLY})


@contextmanager
def _locked(session: MigrationSession, timeout: int) -> Iterator[None]:
    _acquire(session, timeout)
    try:
        yield
    except BaseException:
        session.release(failed=True)
        raise
    session.release()


def _acquire(session: MigrationSession, timeout: int) -> None:
    deadline = time.monotonic() + timeout
    is_logged = False
    # Polled, because a session that blocks on a lock holds a snapshot, for which another session's
    # CREATE INDEX CONCURRENTLY waits: https://github.com/golang-migrate/migrate/issues/960
    while not session.try_lock():
        holder = f"{session.lock_holder()} is migrating {session.connection.engine.url!r}"
        if time.monotonic() >= deadline:
            raise CommandError(
                f"{holder} and has not finished within {timeout} s (MIGRATION_WAIT_TIMEOUT)."
                " Run this command again after it has finished, or increase the timeout."
            )
        if not is_logged:
            logger.info("%s; waiting up to %d s", holder, timeout)
            is_logged = True
        sleep(POLL_SECONDS)


def sleep(seconds: float) -> None:
    """Wait, without blocking the event loop of a caller."""
    if in_greenlet():
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)
