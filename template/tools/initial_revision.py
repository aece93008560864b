"""Rewrite the initial revision from the models; run by `nox -s initial`."""

import asyncio
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from pydantic import ValidationError
from sqlalchemy import URL, Connection, MetaData, NullPool
from sqlalchemy.exc import DBAPIError

from app.core import dialect
from app.core.migrations import alembic_config
from app.core.settings import PROJECT_ROOT, Settings, read_settings
from tools.database_server import ServerError, new_database, run_server

VERSIONS = PROJECT_ROOT / "alembic" / "versions"
DEV_FOLDER = PROJECT_ROOT / ".dev"
GENERATE_NEXT = 'generate the next revision: uv run alembic revision --autogenerate -m "…"'


class RewriteError(RuntimeError):
    """The initial revision cannot be rewritten."""


def main() -> int:
    """Rewrite the initial revision and return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        initial = get_initial_revision()
        if DEV_FOLDER.exists():
            raise RewriteError(
                f"Revision {initial.revision} has been applied to the database of `nox -s dev` in"
                f" {DEV_FOLDER}. Stop that command, remove the database (rm -r .dev) and run this"
                " command again."
            )
        if url := get_database_url():
            asyncio.run(check_not_applied(initial, url))
        rewrite(initial)
    except (RewriteError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: the initial revision is unchanged.", file=sys.stderr)
        return 130
    print(f"Rewrote {initial.path} from the models. Review it, then run the tests: uv run nox")
    return 0


def get_initial_revision() -> Script:
    """Return the only revision; raise RewriteError unless there is exactly one."""
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    revisions = list(scripts.walk_revisions())
    if len(revisions) != 1:
        raise RewriteError(
            f"{VERSIONS} has {len(revisions)} revisions; expected exactly one to rewrite."
            f" Instead, {GENERATE_NEXT}"
        )
    return revisions[0]


def get_database_url() -> URL | None:
    """Return DATABASE_URL, or None if it is not set; raise SettingsError if it is invalid."""
    try:
        url = Settings().database.url
    except ValidationError as error:
        if any(reason["type"] != "missing" for reason in error.errors()):
            return read_settings(Settings).database.url
        return None
    is_file = url.get_backend_name() == "sqlite"
    # Connecting would create a missing file.
    return None if is_file and not Path(url.database or "").exists() else url


async def check_not_applied(initial: Script, url: URL) -> None:
    """Raise RewriteError if a database has a revision; print a warning if it cannot be reached."""
    if heads := await applied_revisions_of(url):
        raise RewriteError(
            f"Revision {', '.join(heads)} has been applied to {url!r}, which would not match a"
            f" rewritten revision. Instead, {GENERATE_NEXT}. If the data is expendable, run first:"
            " uv run alembic downgrade base"
        )


async def applied_revisions_of(url: URL) -> tuple[str, ...]:
    """Return the current revisions of a database; print a warning if it cannot be reached."""
    engine = dialect.create_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(applied_revisions)
    except (DBAPIError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        print(f"{url!r} could not be checked for applied revisions: {reason}")
        return ()
    finally:
        await engine.dispose()


def applied_revisions(connection: Connection) -> tuple[str, ...]:
    """Return the current revisions of a database."""
    return MigrationContext.configure(connection).get_current_heads()


def rewrite(initial: Script) -> None:
    """Replace the file of a revision when the new file is complete.

    Raises RewriteError if the models define no table, ServerError if no server can be started, and
    what importing the models raises.
    """
    # Below alembic/versions, where the hooks find the settings of ruff and a rename is atomic.
    with server() as server_url, TemporaryDirectory(prefix=".", dir=VERSIONS) as folder:
        asyncio.run(generate(server_url, initial, Path(folder)))
        files = list(Path(folder).glob("*.py"))
        if not files:
            raise RewriteError("The models define no table: there is nothing to create.")
        files[0].replace(initial.path)


@contextmanager
def server() -> Iterator[str]:
    """Yield TEST_DATABASE_URL, or the URL of a private server."""
    if server_url := os.environ.get("TEST_DATABASE_URL"):
        yield server_url
        return
    with (
        TemporaryDirectory(prefix="initial-", ignore_cleanup_errors=True) as folder,
        run_server(Path(folder) / "data") as server_url,
    ):
        yield server_url


async def generate(server_url: str, initial: Script, folder: Path) -> None:
    """Write a revision to a folder, autogenerated against an empty database."""
    async with new_database(server_url, "initial") as url:
        engine = dialect.create_engine(dialect.parse_url(url), poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(write_revision, initial, folder)
        finally:
            await engine.dispose()


def write_revision(
    connection: Connection, initial: Script, folder: Path, metadata: MetaData | None = None
) -> None:
    """Run `alembic revision --autogenerate` with the folder in place of alembic/versions.

    The tables of `metadata`, or else of the models, are compared with the database.
    """
    config = alembic_config(connection)
    if metadata is not None:
        config.attributes["metadata"] = metadata
        # The caller completes and formats the file.
        config.set_section_option("post_write_hooks", "hooks", "")
    config.cmd_opts = Namespace(quiet=True)
    config.set_main_option("version_locations", str(folder).replace("%", "%%"))
    command.revision(
        config,
        message=initial.doc,
        autogenerate=True,
        version_path=str(folder),
        rev_id=initial.revision,
    )


if __name__ == "__main__":
    sys.exit(main())
