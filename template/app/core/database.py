"""Engine, sessions, and the transaction of a request, which is committed only here."""

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
from app.core.dialect import classify_error
from app.core.driver_errors import ErrorKind, translate_driver_errors
from app.core.settings import DatabaseSettings

logger = logging.getLogger(__name__)

Session: TypeAlias = AsyncSession
SessionFactory: TypeAlias = async_sessionmaker[AsyncSession]
# Values are attributes named after the columns.
StoredRow: TypeAlias = Row[*tuple[Any, ...]]

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
POOL_OPTIONS = {"pool_size", "max_overflow", "pool_timeout", "pool_recycle"}
# Seconds of idleness after which a connection is pinged before use.
PING_AFTER_IDLE = 1.0
# Seconds until a connection that does not close is dropped.
CLOSE_TIMEOUT = 5.0
# Keys in `Session.info`: the engine of `read_rows`, and whether repositories lock rows.
READ_ENGINE = "read_engine"
LOCKS_ROWS = "locks_rows"
# Key in the scope of a request for its session.
SESSION = "database_session"


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Return the engine of a server process; the caller disposes it."""
    engine = dialect.create_engine(settings.url, **_pool_options(settings))
    dialect.set_statement_timeout(engine.sync_engine, settings.statement_timeout)
    translate_driver_errors(engine.sync_engine)
    if settings.pool_pre_ping:
        _ping_idle_connections(engine.sync_engine)
    return engine


def _pool_options(settings: DatabaseSettings) -> dict[str, Any]:
    # Parameters of statements stay out of error messages, and so of logs.
    return settings.model_dump(include=POOL_OPTIONS) | {"hide_parameters": True}


def _ping_idle_connections(engine: Engine) -> None:
    """Ping an idle connection before its use; if it is dead, replace the whole pool.

    SQLAlchemy's `pool_pre_ping` pings before every use: three round trips with asyncpg.
    """

    def record_use(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["last used"] = time.monotonic()

    def ping(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        last_used = record.info.get("last used")
        if last_used is None or time.monotonic() - last_used < PING_AFTER_IDLE:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", record_use)
    event.listen(engine, "checkout", ping)


def create_session_factory(engine: AsyncEngine) -> SessionFactory:
    """Return a factory of sessions whose entities stay readable after the commit."""
    read_engine = engine.sync_engine.execution_options(**dialect.AUTOCOMMIT_READ)
    return async_sessionmaker(engine, expire_on_commit=False, info={READ_ENGINE: read_engine})


async def read_rows(
    session: AsyncSession, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> Sequence[StoredRow]:
    """Return the rows of a SELECT without starting a transaction.

    A session in a transaction reads within it, including its own changes. Otherwise a connection
    is checked out only while the statement runs.
    """
    return await session.run_sync(_read_rows, statement, parameters)


def _read_rows(
    session: SyncSession, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> Sequence[StoredRow]:
    engine: Engine | None = session.info.get(READ_ENGINE)
    if engine is None or session.in_transaction():
        return session.execute(statement, parameters).all()
    with engine.connect() as connection:
        return connection.execute(statement, parameters).all()


def create_sync_engine(settings: DatabaseSettings) -> Engine:
    """Return an engine for code that cannot be async.

    Raises ModuleNotFoundError without the driver, which `uv sync --extra sync` installs.
    """
    options = _pool_options(settings) | {"pool_pre_ping": settings.pool_pre_ping}
    return dialect.create_sync_engine(settings.url, **options)


def create_sync_session_factory(engine: Engine) -> sessionmaker[SyncSession]:
    """Return a factory of sessions; `with factory.begin() as session:` is one transaction."""
    return sessionmaker(engine, expire_on_commit=False)


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the session of a request; commit if the handler returns, roll back if it raises.

    Raises OutcomeUnknownError if the database does not confirm the commit.
    """
    factory: SessionFactory = request.app.state.session_factory
    session = request.scope[SESSION] = factory()
    # Set by app.core.middleware.retries.
    session.info[LOCKS_ROWS] = request.scope.get("locks_rows", False)
    try:
        if dialect.READ_ONLY and request.method in SAFE_METHODS:
            await session.connection(execution_options=dialect.READ_ONLY)
        yield session
        if session.in_transaction():
            await _commit(session, request)
    finally:
        if session.in_transaction():
            # The connection of a cancelled request returns to the pool, too.
            await asyncio.shield(session.close())
        else:
            # Nothing to wait for, and AsyncSession.close() would start a greenlet.
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
    commit = asyncio.create_task(session.run_sync(commit_or_disconnect))
    await _wait_for(commit, seconds)
    while not commit.done():
        # The first cancellation disconnects cleanly, the next one drops the connection.
        commit.cancel()
        await _wait_for(commit, CLOSE_TIMEOUT)
    try:
        commit.result()
    except asyncio.CancelledError as error:
        reason = f"the database did not confirm it within {seconds:g} s"
        raise _outcome_unknown(reason, error) from None
    except DBAPIError as error:
        if classify_error(error) is ErrorKind.UNAVAILABLE:
            reason = "the database failed before it confirmed the commit"
            raise _outcome_unknown(reason, error) from error
        if (task := asyncio.current_task()) and task.cancelling():
            # Rolled back, as if cancelled before the commit; there is no time to retry.
            raise asyncio.CancelledError from error
        raise


def commit_or_disconnect(session: SyncSession) -> None:
    """Commit; if that fails, close the connection: its transaction may still be open."""
    connection = session.connection()
    try:
        session.commit()
    except BaseException as error:
        # SQLAlchemy would return it to the pool.
        connection.invalidate(error)
        raise


async def _wait_for(task: asyncio.Task[None], seconds: float) -> None:
    """Wait until a task ends or the time is up; cancellation does not end the wait."""
    deadline = time.monotonic() + seconds
    while not task.done() and (remaining := deadline - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=remaining)


def _outcome_unknown(reason: str, error: BaseException) -> OutcomeUnknownError:
    logger.error("The outcome of a commit is unknown: %s", reason, exc_info=error)
    return OutcomeUnknownError(reason)


# Function scope commits before the response is sent, so that a failed commit is never a 2xx:
# https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/
SessionDep = Annotated[AsyncSession, Depends(open_session, scope="function")]
