import logging

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core import dialect
from app.core.migrations import (
    alembic_config,
    find_model_modules,
    upgrade,
)
from app.core.settings import PROJECT_ROOT
from tests.core.migrations.conftest import Revisions


async def test_an_upgrade_in_process_keeps_the_logging_configuration(revisions: Revisions) -> None:
    revisions.add("a")
    root = logging.getLogger()
    application = logging.getLogger("some.application")
    before = (root.level, root.handlers[:], application.disabled)
    await revisions.run(command.upgrade, "head")
    assert (root.level, root.handlers[:], application.disabled) == before


async def test_alembic_inside_a_running_loop_names_the_alternative() -> None:
    with pytest.raises(RuntimeError, match=r"await upgrade\(engine\)"):
        command.upgrade(Config(PROJECT_ROOT / "alembic.ini"), "head")


@pytest.mark.usefixtures("engine")
async def test_upgrade_runs_inside_an_event_loop(connection: AsyncConnection) -> None:
    await upgrade(connection.engine)
    await connection.run_sync(lambda c: command.check(alembic_config(c)))


@pytest.mark.usefixtures("engine")
def test_commands_run_on_a_synchronous_connection(empty_database: URL) -> None:
    engine = dialect.create_sync_engine(empty_database)
    with engine.connect() as connection:
        command.upgrade(alembic_config(connection), "head")
        command.check(alembic_config(connection))
    engine.dispose()


def test_every_models_file_is_found() -> None:
    folders = (PROJECT_ROOT / "app" / folder for folder in ("core", "modules"))
    assert {name.split(".")[2] for name in find_model_modules()} == {
        file.parent.name for folder in folders for file in folder.glob("*/models.py")
    }
