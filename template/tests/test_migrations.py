"""The revisions of the project match its models, can be reverted, and keep rows."""

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.migrations import alembic_config, find_model_modules
from app.core.models import Base
from app.core.settings import PROJECT_ROOT
from tests.conftest import DRIFT, GENERATE_REVISION, find_drift
from tests.example_rows import Rows, in_common, insert_rows, read_rows
from tools.dangerous_operations import DangerousOperationWarning, dangerous_operations
from tools.revision_head import HEAD_FILE, find_heads

# Marks a revision that may lose values, with the reason.
LOSSY = re.compile(r"#\s*lossy:\s*\S")

SCRIPTS = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
REVISIONS = list(reversed(list(SCRIPTS.walk_revisions())))


async def alembic(connection: AsyncConnection, run: Callable[..., Any], *arguments: str) -> None:
    await connection.run_sync(lambda c: run(alembic_config(c), *arguments))


async def test_models_match_the_migrations(connection: AsyncConnection) -> None:
    await alembic(connection, command.upgrade, "head")
    drift = await connection.run_sync(find_drift)
    assert drift is None, f"{DRIFT}; {GENERATE_REVISION}\n{drift}"


async def test_every_revision_upgrades_downgrades_and_upgrades_again(
    connection: AsyncConnection,
) -> None:
    for script in REVISIONS:
        await alembic(connection, command.upgrade, script.revision)
        upgraded = await connection.run_sync(schema)
        await alembic(connection, command.downgrade, previous_revision(script))
        await alembic(connection, command.upgrade, script.revision)
        assert await connection.run_sync(schema) == upgraded


async def test_a_downgrade_to_base_leaves_nothing(connection: AsyncConnection) -> None:
    original = await connection.run_sync(schema)
    await alembic(connection, command.upgrade, "head")
    await alembic(connection, command.downgrade, "base")
    assert await connection.run_sync(schema) == original


async def test_rows_survive_every_revision(connection: AsyncConnection) -> None:
    for script in REVISIONS:
        await connection.run_sync(insert_rows)
        rows = await connection.run_sync(read_rows)
        await connection.commit()
        await alembic(connection, command.upgrade, script.revision)
        upgraded = await connection.run_sync(read_rows)
        await connection.rollback()
        await alembic(connection, command.downgrade, previous_revision(script))
        downgraded = await connection.run_sync(read_rows)
        await connection.rollback()
        if not LOSSY.search(source(script)):
            fewer = tables_with_fewer_rows(rows, upgraded)
            assert not fewer, f"{script.path} loses rows of {fewer}"
            before = in_common(rows, downgraded, upgraded)
            after = in_common(downgraded, rows, upgraded)
            assert keeps_values(before, after), (
                f"{script.path} changes values: {rows} became {downgraded}"
            )
        await alembic(connection, command.upgrade, script.revision)


def tables_with_fewer_rows(rows: Rows, upgraded: Rows) -> list[str]:
    """Return the tables that lost rows, unless a renamed table has them."""
    gone, new = rows.keys() - upgraded.keys(), upgraded.keys() - rows.keys()
    renamed = sum(len(rows[name]) for name in gone) <= sum(len(upgraded[name]) for name in new)
    fewer = [name for name in rows.keys() - gone if len(upgraded[name]) < len(rows[name])]
    return sorted(fewer if renamed else {*fewer, *gone})


def keeps_values(before: Rows, after: Rows) -> bool:
    """Return whether no value changed, except for NULL that a backfill replaced."""
    return all(
        len(before[table]) == len(after[table])
        and all(
            value in (None, changed[name])
            for row, changed in zip(before[table], after[table], strict=True)
            for name, value in row.items()
        )
        for table in before
    )


def source(script: Script) -> str:
    return Path(script.path).read_text("utf-8")


def previous_revision(script: Script) -> str:
    """Return the target of a downgrade that reverts only this revision."""
    # Not "-1", which is ambiguous at branch points and merges.
    previous = script.down_revision or "base"
    return f"{script.revision}@{previous if isinstance(previous, str) else previous[0]}"


def schema(connection: Connection) -> set[tuple[str, str]]:
    """Return the kind and name of all that a revision can create."""
    inspector = inspect(connection)
    schemas: set[str | None] = {None}
    # On other databases, a schema is another database.
    if connection.dialect.name == "postgresql":
        other = {"information_schema", inspector.default_schema_name}
        schemas.update(set(inspector.get_schema_names()) - other)
    found = {("schema", schema) for schema in schemas if schema}
    for schema in schemas:
        for kind, names in objects(inspector, schema).items():
            found |= {(kind, f"{schema}.{name}" if schema else name) for name in names}
    connection.rollback()
    return found - {("table", "alembic_version")}


def objects(inspector: Inspector, schema: str | None) -> dict[str, list[str]]:
    """Return the names of tables, views, sequences and types in a schema, by kind."""
    # Only PostgreSQL has types for enums and domains.
    types = [
        found["name"]
        for find in ("get_enums", "get_domains")
        for found in getattr(inspector, find, lambda **_: [])(schema=schema)
    ]
    has_sequences = inspector.dialect.supports_sequences
    return {
        "table": inspector.get_table_names(schema),
        "view": inspector.get_view_names(schema),
        "sequence": inspector.get_sequence_names(schema) if has_sequences else [],
        "type": types,
    }


def test_there_is_one_head() -> None:
    heads = find_heads()
    assert len(heads) == 1, f"several heads, {heads}; merge them: uv run alembic merge heads"


def test_the_head_file_is_up_to_date() -> None:
    tracked = HEAD_FILE.read_text("utf-8").split() if HEAD_FILE.exists() else []
    assert tracked == find_heads(), "run: uv run python -m tools.revision_head"


def test_env_py_imports_all_models() -> None:
    environment = ast.parse((PROJECT_ROOT / "alembic" / "env.py").read_text("utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(environment) if isinstance(node, ast.Call)}
    imported = set(imports(environment))
    if "migrations.import_models" in calls:
        imported.update(find_model_modules())
    missing = []
    for name in find_model_modules():
        package, _, module = name.rpartition(".")
        alias = "_".join(name.split(".")[2:])
        if name not in imported:
            missing.append(f"from {package} import {module} as {alias}  # noqa: F401")
    assert not missing, f"add to alembic/env.py, below isort: split: {missing}"


def imports(code: ast.Module) -> Iterator[str]:
    """Yield the dotted names in top-level imports."""
    for node in code.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_all_models_are_in_models_modules() -> None:
    elsewhere = {
        mapper.class_
        for mapper in Base.registry.mappers
        if mapper.class_.__module__.startswith("app.")
        if mapper.class_.__module__ not in find_model_modules()
    }
    assert not elsewhere, f"move these to a models.py below app/modules: {elsewhere}"


@pytest.mark.parametrize("script", REVISIONS, ids=lambda script: script.revision)
def test_dangerous_operations_raise_warnings(script: Script) -> None:
    for line in dangerous_operations(Path(script.path)):
        warnings.warn(line, DangerousOperationWarning, stacklevel=1)
