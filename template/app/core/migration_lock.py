"""One process at a time changes the schema; what fails says what it left."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from app.core import dialect
from app.core.migration_dialect import MigrationSession, is_lock_timeout
from app.core.models import Base
from app.core.settings import get_migration_settings

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 0.2


@contextmanager
def migrating(context: MigrationContext, connection: Connection) -> Iterator[None]:
    """Let one process at a time change the schema, with limits on what it waits for.

    Commands that only look, as `current` and `check` do, wait for nobody.
    Raises CommandError if another process migrates for too long, or if the database refuses a
    revision: then it says which one, and what of the run stays. Other errors get that as a note.
    """
    if "destination_rev" not in context.opts:
        with _looking(connection):
            yield
        return
    settings = get_migration_settings()
    session = MigrationSession(connection, settings)
    if session.within_transaction:
        logger.warning("This is part of a transaction that is open; its owner has to commit it")
    with _locked(session, settings.wait_timeout), _explained(context, session):
        session.prepare()
        session.check_encoding(_own_tables(context))
        yield


def _own_tables(context: MigrationContext) -> list[Table]:
    """Return the tables of the models, without those of shared_tables."""
    keep: Any = context.opts.get("include_object") or (lambda *_: True)
    tables = Base.metadata.tables.values()
    return [table for table in tables if keep(table, table.name, "table", False, None)]


@contextmanager
def _looking(connection: Connection) -> Iterator[None]:
    if connection.in_transaction():
        yield
        return
    usual = connection.get_execution_options()
    connection.execution_options(**dialect.READING)
    try:
        yield
        # A transaction left open would take in the next command over the connection, uncommitted.
        connection.commit()
    except DBAPIError as error:
        raise CommandError(f"{error.orig}\n{error.statement}") from error
    finally:
        connection.rollback()
        connection.execution_options(**{name: usual.get(name) for name in dialect.READING})


@contextmanager
def _locked(session: MigrationSession, seconds: int) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    tries = 0
    # A lock that is waited for, instead of tried again and again, is a transaction that CREATE
    # INDEX CONCURRENTLY waits for in turn: https://github.com/golang-migrate/migrate/issues/960
    while not session.try_lock():
        holder = f"{session.holder()} migrates {session.connection.engine.url!r}"
        if time.monotonic() >= deadline:
            raise CommandError(
                f"{holder} and was not done within {seconds} s (MIGRATION_WAIT_TIMEOUT);"
                " run this again when it is"
            )
        if tries == 0:
            logger.info("%s; waiting up to %d s for it", holder, seconds)
        tries += 1
        _sleep(SECONDS_BETWEEN_TRIES)
    try:
        yield
    except BaseException:
        session.restore(failed=True)
        raise
    session.restore()


def _sleep(seconds: float) -> None:
    if in_greenlet():
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


@contextmanager
def _explained(context: MigrationContext, session: MigrationSession) -> Iterator[None]:
    steps: list[Any] = []
    find_steps: Any = context._migrations_fn

    def noted(heads: Any, context: Any) -> Iterator[Any]:
        for step in find_steps(heads, context):
            if steps:
                # A revision may have set limits of its own.
                session.prepare()
            steps.append(step)
            yield step

    context._migrations_fn = noted
    try:
        yield
    except DBAPIError as error:
        reasons = [*_fate(steps, session), str(error.orig), error.statement or ""]
        if is_lock_timeout(error):
            reasons.append(
                "Another session holds what this needs, for longer than MIGRATION_LOCK_TIMEOUT"
                f" ({session.settings.lock_timeout} s). Run it again when that session is done."
            )
        raise CommandError("\n".join(reasons)) from error
    except CommandError as error:
        raise CommandError("\n".join([*_fate(steps, session), str(error)])) from error
    except Exception as error:
        for line in _fate(steps, session):
            error.add_note(line)
        raise


def _fate(steps: list[Any], session: MigrationSession) -> list[str]:
    if not steps:
        return []
    *done, failed = map(str, steps)
    if session.within_transaction:
        before = "What else ran in the caller's transaction is the caller's to roll back."
    else:
        before = f"Committed before, in this run: {'; '.join(done) or 'nothing'}."
    return [f"{failed}: failed.", session.FAILED_REVISION, before]
