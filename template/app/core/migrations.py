"""What alembic/env.py needs and Alembic does not have."""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core import autogenerate, migration_dialect
from app.core.models import Base
from app.core.settings import PROJECT_ROOT, get_migration_settings

logger = logging.getLogger(__name__)


def find_model_modules() -> list[str]:
    """Return the name of every module below app/modules that is, or is within, a `models`."""
    folder = PROJECT_ROOT / "app" / "modules"
    files = (file.relative_to(PROJECT_ROOT).with_suffix("") for file in folder.rglob("*.py"))
    modules = (file.parent if file.name == "__init__" else file for file in files)
    return sorted(".".join(module.parts) for module in modules if "models" in module.parts)


def import_models() -> None:
    """Import all that `find_model_modules` finds."""
    names = find_model_modules()
    for name in names:
        importlib.import_module(name)
    models = len(list(Base.registry.mappers))
    logger.info("Found %d models in %d modules", models, len(names))


def shared_tables(config: Config) -> list[str]:
    """Return the glob patterns of tables that belong to somebody else, whatever the section is."""
    return config.file_config.get("alembic", "shared_tables", fallback="").split()


def options(config: Config) -> dict[str, Any]:
    """Return what offline and online migrations have in common."""
    return {
        "target_metadata": Base.metadata,
        "compare_type": True,
        "compare_server_default": True,
        "autogenerate_plugins": ["alembic.autogenerate.*", autogenerate.PLUGIN.name],
        "render_item": autogenerate.render_item,
        "process_revision_directives": autogenerate.process_revision,
        "transaction_per_migration": True,
        **autogenerate.leave_alone(shared_tables(config)),
        **migration_dialect.OPTIONS,
    }


def preparations() -> list[str]:
    """Return what the database is told before its migrations."""
    return migration_dialect.preparations(get_migration_settings())


def alembic_config(connection: Connection) -> Config:
    """Return the configuration for Alembic's commands over an open connection."""
    config = Config(PROJECT_ROOT / "alembic.ini")
    config.attributes["connection"] = connection
    return config


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Upgrade from within an event loop: in a lifespan, a test or a script."""
    async with engine.connect() as connection:
        await connection.run_sync(lambda c: command.upgrade(alembic_config(c), revision))


@asynccontextmanager
async def connect(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection, and dispose of the engine at the end.

    Raises CommandError if the database cannot be reached.
    """
    try:
        try:
            connection = await engine.connect()
        except (DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise CommandError(f"{engine.url!r} cannot be reached: {reason}") from error
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()


def run(migrate: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `migrate` in an event loop of its own.

    Raises RuntimeError if a loop runs already, and names the way in for that case.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError(
            "Alembic was called from a running event loop; use `await upgrade(engine)` from"
            " app.core.migrations, or hand a connection over to any other command:"
            " `await connection.run_sync(lambda c: command.downgrade(alembic_config(c), '-1'))`."
        )
    asyncio.run(migrate())
