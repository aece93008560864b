"""Fold all revisions up to one into a new base; run by `nox -s squash -- REVISION`."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from difflib import unified_diff
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from alembic import command
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, NullPool

from app.core import dialect
from app.core.migrations import alembic_config
from tests.conftest import create_shared_tables
from tools.database_server import ServerError, new_database
from tools.initial_revision import VERSIONS, server, write_revision
from tools.migrations.carried_statements import carry_over
from tools.migrations.schema_snapshot import reflect, take_snapshot
from tools.migrations.squashed_revisions import (
    SquashError,
    check_committed,
    check_database,
    find_folded,
    statements_by_hand,
)

ResultT = TypeVar("ResultT")


def main() -> int:
    """Squash the revisions and return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if len(sys.argv) != 2:
        print("Name the last revision to squash: nox -s squash -- REVISION", file=sys.stderr)
        return 2
    try:
        folded = find_folded(sys.argv[1])
        check_committed(folded)
        asyncio.run(check_database(folded))
        squash(folded)
    except (SquashError, ServerError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. To undo the changes: git restore alembic/versions", file=sys.stderr)
        return 130
    return 0


def squash(folded: list[Script]) -> None:
    """Replace revisions by one with the id of the last, once it is proven to be equal.

    Raises SquashError if it is not, CommandError if a revision fails, and ServerError.
    """
    last = folded[-1]
    by_hand = "\n".join(statements_by_hand(folded)) or "none"
    # Below alembic/versions, where the hooks find the settings of ruff and a rename is atomic.
    with server() as server_url, TemporaryDirectory(prefix=".", dir=VERSIONS) as folder:
        file, differences = build(server_url, folded, Path(folder))
        if differences:
            raise SquashError(
                f"A new base would differ from the revisions up to {last.revision}:\n"
                f"{differences}\nChoose an earlier revision, or replace the statements that cause"
                " this by ones that autogenerate writes. Statements that it does not write:\n"
                + by_hand
            )
        # First: if the command is killed, no database at the last revision is left without it.
        file.replace(last.path)
    for script in folded[:-1]:
        Path(script.path).unlink()
    print(
        f"Replaced {len(folded)} revisions by {last.path}. Review it, and run the tests: uv run nox"
    )
    print(
        "Statements that autogenerate does not write, of which it has only those that an empty"
        f" database needs:\n{by_hand}"
    )


def build(server_url: str, folded: list[Script], folder: Path) -> tuple[Path, str]:
    """Write the new base to a folder; return it, and how its database differs from the old one."""
    upgraded = partial(read_upgraded, revision=folded[-1].revision)
    metadata, old = in_new_database(server_url, upgraded)
    written = partial(write_base, folded=folded, folder=folder, metadata=metadata)
    file = in_new_database(server_url, written)
    compared = partial(find_differences, base=file, old=old)
    differences = in_new_database(server_url, compared)
    if differences:
        carry_over(file, folded, "\n".join(old))
        format_code(file)
        differences = in_new_database(server_url, compared)
    return file, differences


def in_new_database(server_url: str, run: Callable[[Connection], ResultT]) -> ResultT:
    """Run a function on a connection to a new database that has only the shared tables."""

    async def connect() -> ResultT:
        async with new_database(server_url, "squash") as url:
            await create_shared_tables(dialect.parse_url(url))
            engine = dialect.create_engine(dialect.parse_url(url), poolclass=NullPool)
            try:
                async with engine.connect() as connection:
                    return await connection.run_sync(run)
            finally:
                await engine.dispose()

    return asyncio.run(connect())


def read_upgraded(connection: Connection, revision: str) -> tuple[MetaData, list[str]]:
    """Upgrade with the revisions of the project; return the tables and a snapshot."""
    command.upgrade(alembic_config(connection), revision)
    return reflect(connection), take_snapshot(connection)


def find_differences(connection: Connection, base: Path, old: list[str]) -> str:
    """Apply and revert a new base; return how what it created differs, and what it left."""
    empty = take_snapshot(connection)
    config = alembic_config(connection)
    config.set_main_option("version_locations", str(base.parent).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
        differences = compare(old, take_snapshot(connection))
        command.downgrade(config, "base")
    except CommandError as error:
        return str(error)
    return differences or compare(empty, take_snapshot(connection))


def compare(old: list[str], new: list[str]) -> str:
    """Return the lines that only one snapshot has, marked by - and +."""
    lines = list(unified_diff(old, new, lineterm="", n=0))[2:]
    return "\n".join(line for line in lines if not line.startswith("@@"))


def write_base(
    connection: Connection, folded: list[Script], folder: Path, metadata: MetaData
) -> Path:
    """Write a revision that creates reflected tables, under the id of the last revision."""
    write_revision(connection, folded[-1], folder, metadata)
    file = next(folder.glob("*.py"), None)
    if file is None:
        raise SquashError(f"The revisions up to {folded[-1].revision} leave no table.")
    names = [script.revision for script in folded[:-1]]
    for script in folded:
        names += getattr(script.module, "replaces", ())
    labels = sorted({label for script in folded for label in script._orig_branch_labels or ()})
    code = file.read_text("utf-8")
    code = re.sub(r"(?m)^(branch_labels.*) = .*$", rf"\1 = {labels or None!r}", code)
    code = re.sub(r"(?m)^depends_on.*$", rf"\g<0>\nreplaces: Sequence[str] = {names!r}", code)
    file.write_text(code, "utf-8")
    format_code(file)
    return file


def format_code(file: Path) -> None:
    """Format a revision as the hooks of Alembic do."""
    for arguments in (["format"], ["check", "--fix", "--exit-zero"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--quiet", str(file)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
