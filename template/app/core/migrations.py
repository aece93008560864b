"""What alembic/env.py needs and Alembic does not have."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from alembic.autogenerate import render
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.types import TypeDecorator

from app.core import dialect
from app.core.models import Base
from app.core.settings import PROJECT_ROOT


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write a decorated type as the type it stands on, so that no revision imports the application.

    Returns False for everything that Alembic renders itself:
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
    """
    ours = isinstance(item, TypeDecorator) and not type(item).__module__.startswith("sqlalchemy.")
    if kind != "type" or not ours:
        return False
    return render._repr_type(item.impl_instance, context)


OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "compare_type": True,
    "render_item": render_item,
    "transaction_per_migration": True,
    **dialect.MIGRATION_OPTIONS,
}


def run(migrate: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `migrate` in an event loop of its own.

    Raises RuntimeError if a loop runs already, and names the way in for that case.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(migrate())
    else:
        raise RuntimeError(
            "Alembic was called from a running event loop; use"
            " `await connection.run_sync(lambda c: command.upgrade(alembic_config(c), 'head'))`"
            " with alembic_config from app.core.migrations."
        )


def alembic_config(connection: Connection) -> Config:
    """Return the configuration for Alembic's commands over an open connection."""
    config = Config(PROJECT_ROOT / "alembic.ini")
    config.attributes["connection"] = connection
    return config
