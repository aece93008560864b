"""Engine, sessions and the one transaction of a request: nothing else commits."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Request
from sqlalchemy import Engine, Row, Select, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.core import dialect
from app.core.database_errors import OutcomeUnknownError
from app.core.driver_errors import translate_driver_errors
from app.core.error_dialect import meaning
from app.core.error_meaning import Meaning
from app.core.settings import DatabaseSettings

logger = logging.getLogger(__name__)

Session: TypeAlias = AsyncSession
SessionFactory: TypeAlias = async_sessionmaker[AsyncSession]
# The columns of a row, by name.
StoredRow: TypeAlias = Row[*tuple[Any, ...]]

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# What was in use this many seconds ago is taken to be alive.
SECONDS_ALIVE = 1.0
# How long a connection may take to close before it is closed by force.
SECONDS_TO_CLOSE = 5.0
# Under which a session's `info` has the engine of `read_rows`.
READER = "reader"
# The key in its `info` for whether repositories lock the rows that they get.
LOCKS_ROWS = "locks_rows"
# The key in a request's scope for the session that it opened.
SESSION = "database_session"


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Return the engine of a serving process; whoever creates it disposes it."""
    engine = dialect.create_engine(settings.url, **_pool_options(settings))
    dialect.limit_statements(engine.sync_engine, settings.statement_timeout)
    translate_driver_errors(engine.sync_engine)
    if settings.pool_pre_ping:
        _ping_after_idling(engine.sync_engine)
    return engine


def _ping_after_idling(engine: Engine) -> None:
    """Try a connection that was idle before it is used again; if it is dead, open all anew.

    SQLAlchemy's own `pool_pre_ping` does so before each use, which takes asyncpg three round trips.
    """

    def note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["last used"] = time.monotonic()

    def ping(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        last_used = record.info.get("last used")
        if last_used is None or time.monotonic() - last_used < SECONDS_ALIVE:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", ping)


def create_session_factory(engine: AsyncEngine) -> SessionFactory:
    """Return a factory of sessions whose entities stay readable after the commit."""
    reader = engine.sync_engine.execution_options(**dialect.READING_ONCE)
    return async_sessionmaker(engine, expire_on_commit=False, info={READER: reader})


async def read_rows(
    session: AsyncSession, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> Sequence[StoredRow]:
    """Return the rows that a statement selects, for the cost of that alone.

    A session that has begun a transaction reads within it, and so sees what it has written.
    Otherwise a connection is taken for no longer than the statement runs.
    """
    return await session.run_sync(_read_rows, statement, parameters)


def _read_rows(
    session: SyncSession, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> Sequence[StoredRow]:
    reader: Engine | None = session.info.get(READER)
    if reader is None or session.in_transaction():
        return session.execute(statement, parameters).all()
    with reader.connect() as connection:
        return connection.execute(statement, parameters).all()


def create_sync_engine(settings: DatabaseSettings) -> Engine:
    """Return an engine for a job that cannot be async; see "Synchronous jobs" in the README.

    Raises ModuleNotFoundError without the driver, which `uv sync --extra sync` installs.
    """
    options = _pool_options(settings) | {"pool_pre_ping": settings.pool_pre_ping}
    return dialect.create_sync_engine(settings.url, **options)


def create_sync_session_factory(engine: Engine) -> sessionmaker[SyncSession]:
    """Return a factory of sessions; `with factory.begin() as session:` is one transaction."""
    return sessionmaker(engine, expire_on_commit=False)


def _pool_options(settings: DatabaseSettings) -> dict[str, Any]:
    # Values stay out of the messages of errors, and so of logs.
    options = settings.model_dump(exclude={"url", "statement_timeout", "pool_pre_ping"})
    return options | {"hide_parameters": True}


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the session of a request; commit if the handler returns, roll back if it raises.

    Raises OutcomeUnknownError if the database does not confirm whether the commit succeeded.
    """
    factory: SessionFactory = request.app.state.session_factory
    session = request.scope[SESSION] = factory()
    # Set by app.core.retries.
    session.info[LOCKS_ROWS] = request.scope.get("locks_rows", False)
    try:
        if dialect.READING and request.method in SAFE_METHODS:
            await session.connection(execution_options=dialect.READING)
        yield session
        if session.in_transaction():
            await _commit(session, request)
    finally:
        if session.in_transaction():
            # A request that is cancelled gives its connection back all the same.
            await asyncio.shield(session.close())
        else:
            # It holds no connection, so nothing is awaited, and to await costs a greenlet.
            session.sync_session.close()


async def _commit(session: AsyncSession, request: Request) -> None:
    if request.method in SAFE_METHODS:
        return await session.commit()
    if session.new or session.dirty or session.deleted:
        # An error before COMMIT is sent is certain to roll back.
        await session.flush()
    await _finish_commit(session, request.app.state.settings.database.statement_timeout)


async def _finish_commit(session: AsyncSession, seconds: float) -> None:
    """Commit, even if the request is cancelled meanwhile by a timeout or a client disconnect.

    Raises OutcomeUnknownError if the connection is lost or `seconds` pass without confirmation.
    """
    commit = asyncio.create_task(session.run_sync(_commit_or_disconnect))
    await _wait_for(commit, seconds)
    while not commit.done():
        # Cancelled once, it disconnects cleanly; cancelled again, it drops the connection.
        commit.cancel()
        await _wait_for(commit, SECONDS_TO_CLOSE)
    try:
        commit.result()
    except asyncio.CancelledError as error:
        raise _unknown(f"the database did not confirm it within {seconds:g} s", error) from None
    except DBAPIError as error:
        if meaning(error) is Meaning.UNAVAILABLE:
            raise _unknown("the database failed before it confirmed the commit", error) from error
        if (task := asyncio.current_task()) and task.cancelling():
            # Rolled back, as by a cancellation before the commit; there is no time to retry.
            raise asyncio.CancelledError from error
        raise


def _commit_or_disconnect(session: SyncSession) -> None:
    connection = session.connection()
    try:
        session.commit()
    except BaseException as error:
        # SQLAlchemy would return it to the pool, although its transaction may still be open.
        connection.invalidate(error)
        raise


async def _wait_for(task: asyncio.Task[None], seconds: float) -> None:
    """Wait until a task ends or the time is up; cancellation does not end the wait."""
    deadline = time.monotonic() + seconds
    while not task.done() and (remaining := deadline - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=remaining)


def _unknown(reason: str, error: BaseException) -> OutcomeUnknownError:
    logger.error("The outcome of a commit is unknown: %s", reason, exc_info=error)
    return OutcomeUnknownError(reason)


# Function scope commits before the response is sent, so that a failing commit is never a 2xx:
# https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/
SessionDep = Annotated[AsyncSession, Depends(open_session, scope="function")]
