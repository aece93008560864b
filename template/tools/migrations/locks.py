"""Show what each statement of new revisions locks; run by `nox -s locks`.

The revisions are applied to a private database with example rows, and the server is asked.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import DBAPIError

from app.core import dialect
from app.core.migrations import alembic_config
from app.core.settings import PROJECT_ROOT
from tests.conftest import create_shared_tables
from tests.example_rows import insert_rows
from tools.database_server import ServerError, new_database
from tools.initial_revision import server
from tools.migrations.base_commit import BaseCommitError, find_base, find_new_revisions
from tools.migrations.lock_report import Rows, describe
from tools.migrations.statement_locks import NOTE, observe


def main(arguments: Sequence[str]) -> int:
    """Print what revisions lock, and return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    options = parse(arguments)
    try:
        scripts = select_revisions(options.revisions)
        if not scripts:
            print("No new revisions.")
            return 0
        with server() as server_url:
            report = asyncio.run(measure(server_url, scripts))
    except (BaseCommitError, CommandError, ServerError, NotImplementedError, DBAPIError) as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    print(report)
    if options.markdown:
        with options.markdown.open("a", encoding="utf-8") as file:
            file.write(f"{report}\n")
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; exit with status 2 if they are invalid."""
    parser = argparse.ArgumentParser(prog="nox -s locks --", allow_abbrev=False)
    parser.add_argument(
        "revisions",
        nargs="?",
        metavar="BRANCH|COMMIT|REVISION|FROM:TO",
        help="show these revisions, or those that a branch or commit lacks",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="append the report to FILE")
    return parser.parse_args(arguments)


def select_revisions(name: str | None) -> list[Script]:
    """Return the revisions that an argument means, each after those that it follows.

    Raises CommandError for an unknown revision in a range, BaseCommitError for an unknown name.
    """
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    if name and ":" in name:
        start, _, end = name.partition(":")
        return list(reversed(list(scripts.walk_revisions(start or "base", end or "heads"))))
    try:
        return [script for script in scripts.get_revisions(name or ()) if script] or new(name)
    except CommandError:
        return new(name)


def new(name: str | None) -> list[Script]:
    return find_new_revisions(find_base(name))


async def measure(server_url: str, scripts: list[Script]) -> str:
    """Return a report on revisions, applied to a database with rows."""
    async with new_database(server_url, "locks") as text:
        url = dialect.parse_url(text)
        await create_shared_tables(url)
        engine = dialect.create_sync_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            sections = [describe(script, apply(connection, script)) for script in scripts]
    return "\n\n".join([*sections, NOTE])


def apply(connection: Connection, script: Script) -> Rows:
    """Apply a revision and return what its statements lock."""
    config = alembic_config(connection)
    for previous in script._all_down_revisions:
        command.upgrade(config, previous)
    insert_rows(connection)
    connection.commit()
    with observe(connection, script.module.upgrade.__code__.co_filename) as rows:
        command.upgrade(config, script.revision)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
