"""Engine, sessions and the one transaction of a request: nothing else commits."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.orm import sessionmaker

from app.core import dialect
from app.core.settings import DatabaseSettings

Session: TypeAlias = AsyncSession
SessionFactory: TypeAlias = async_sessionmaker[AsyncSession]

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Return the engine of a serving process; whoever creates it disposes it."""
    return dialect.create_engine(settings.url, **_pool_options(settings))


def create_session_factory(engine: AsyncEngine) -> SessionFactory:
    """Return a factory of sessions whose entities stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def create_sync_engine(settings: DatabaseSettings) -> Engine:
    """Return an engine for a job that cannot be async; see "Synchronous jobs" in the README.

    Raises ModuleNotFoundError without the driver, which `uv sync --extra sync` installs.
    """
    return dialect.create_sync_engine(settings.url, **_pool_options(settings))


def create_sync_session_factory(engine: Engine) -> sessionmaker[SyncSession]:
    """Return a factory of sessions; `with factory.begin() as session:` is one transaction."""
    return sessionmaker(engine, expire_on_commit=False)


def _pool_options(settings: DatabaseSettings) -> dict[str, Any]:
    return settings.model_dump(exclude={"url"})


async def open_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the session of a request; commit if the handler returns, roll back if it raises."""
    factory: SessionFactory = request.app.state.session_factory
    async with factory() as session:
        if dialect.READING and request.method in SAFE_METHODS:
            await session.connection(execution_options=dialect.READING)
        yield session
        await session.commit()


# Function scope commits before the response is sent, so that a failing commit is never a 2xx:
# https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/
SessionDep = Annotated[AsyncSession, Depends(open_session, scope="function")]
