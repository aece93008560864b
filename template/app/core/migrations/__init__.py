"""What alembic/env.py needs and Alembic lacks; `upgrade` and `alembic_config` for other code."""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from functools import cache
from itertools import chain
from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.migrations import (
    autogenerate,
    check_constraints,
    column_types,
    computed_columns,
    dialect,
    indexes,
    primary_keys,
    reflection,
    schemas,
    server_defaults,
    table_order,
    type_comparison,
)
from app.core.migrations.lock import migrating as migrating
from app.core.models import Base
from app.core.settings import PROJECT_ROOT, get_migration_settings

logger = logging.getLogger(__name__)

COMPARATORS = (
    check_constraints,
    computed_columns,
    indexes,
    primary_keys,
    reflection,
    schemas,
    server_defaults,
    table_order,
    type_comparison,
)


def find_model_modules() -> list[str]:
    """Return the dotted names of modules named `models`, or in such a package.

    Those in app/modules, and in folders of app/core.
    """
    found = (PROJECT_ROOT.glob(f"app/{folder}/**/*.py") for folder in ("core/*", "modules"))
    files = (file.relative_to(PROJECT_ROOT).with_suffix("") for file in chain(*found))
    modules = (file.parent if file.name == "__init__" else file for file in files)
    return sorted(".".join(module.parts) for module in modules if "models" in module.parts)


def import_models() -> None:
    """Import the modules that `find_model_modules` returns."""
    names = find_model_modules()
    for name in names:
        importlib.import_module(name)
    models = len(list(Base.registry.mappers))
    logger.info("Found %d models in %d modules", models, len(names))


def shared_table_patterns(config: Config) -> list[str]:
    """Return the glob patterns of `shared_tables`; with `alembic -n NAME`, too, from [alembic]."""
    return config.file_config.get("alembic", "shared_tables", fallback="").split()


def context_options(config: Config) -> dict[str, Any]:
    """Return the arguments of `context.configure` that online and offline migrations share.

    Raises CommandError if a model names a schema that the database does not support.
    """
    patterns = shared_table_patterns(config)
    schemas.check_support(patterns)

    @cache
    def find_schemas() -> set[str]:
        return schemas.find_schemas(context.script, patterns)

    return {
        # A squash compares the tables of a database instead of the models.
        "target_metadata": config.attributes.get("metadata") or Base.metadata,
        "compare_type": True,
        "compare_server_default": True,
        "autogenerate_plugins": [
            "alembic.autogenerate.*",
            *(module.PLUGIN.name for module in COMPARATORS),
            *dialect.PLUGINS,
        ],
        "render_item": column_types.render_item,
        "process_revision_directives": autogenerate.process_revision,
        "transaction_per_migration": True,
        **autogenerate.exclude_tables(patterns, find_schemas),
        "find_schemas": find_schemas,
        **dialect.CONTEXT_OPTIONS,
    }


def session_setup_sql() -> list[str]:
    """Return the statements that precede migrations, such as timeouts."""
    return dialect.session_setup_sql(get_migration_settings())


def alembic_config(connection: Connection) -> Config:
    """Return the configuration for Alembic's commands on an open connection."""
    config = Config(PROJECT_ROOT / "alembic.ini")
    config.attributes["connection"] = connection
    return config


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Upgrade from inside an event loop, such as in a lifespan, a test or a script."""
    async with engine.connect() as connection:
        await connection.run_sync(lambda c: command.upgrade(alembic_config(c), revision))


@asynccontextmanager
async def connect(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection and dispose of the engine afterwards.

    Raises CommandError if the connection fails.
    """
    try:
        try:
            connection = await engine.connect()
        except (DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise CommandError(
                f"DATABASE_URL: cannot connect to {engine.url!r}: {reason}"
            ) from error
        async with aclosing(connection):
            yield connection
    finally:
        await engine.dispose()


def run(migrate: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `migrate` in a new event loop. Raises RuntimeError inside a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(migrate())
    else:
        raise RuntimeError(
            "Alembic was called inside a running event loop; use `await upgrade(engine)` from"
            " app.core.migrations, or pass a connection to any other command:"
            " `await connection.run_sync(lambda c: command.downgrade(alembic_config(c), '-1'))`."
        )
