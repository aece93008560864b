"""The rendered project's own tests pass, and fail when what they guard is taken away."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.edits import edit
from tests.support.projects import DATABASES, Project, run


# The tests that remain without a module are the same on every database.
@pytest.mark.long
@pytest.mark.parametrize(
    ("database", "modules"),
    [("sqlite", []), *((database, ["item", "user"]) for database in DATABASES)],
    indirect=["database"],
    ids=["sqlite-none", *(f"{database}-two" for database in DATABASES)],
)
def test_the_suite_passes_on_a_private_server(
    project: Callable[..., Project], database: str, modules: list[str]
) -> None:
    made = project(database, modules=modules)
    printed = made.fresh.python("-m", "pytest", "tests", "--numprocesses", "2").stdout
    assert " skipped" not in printed


def test_the_suite_passes_on_a_given_server(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    made.with_server(
        # The variable is the other one's name for the same server.
        ["python", "-c", RUN_ON_GIVEN_SERVER],
    )


def test_pytest_without_arguments_skips_the_tests_of_core(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    own = made.path / "tests/billing/test_bills.py"
    own.parent.mkdir()
    own.write_text("def test_it() -> None: ...\n", "utf-8")
    # With a worker, which gets the paths as arguments.
    bare = made.python("-m", "pytest", "--numprocesses", "1", "--verbose").stdout
    assert "tests/billing/test_bills.py" in bare
    assert "tests/modules/test_item.py" in bare
    assert "tests/test_migrations.py" in bare
    assert "tests/core" not in bare
    for arguments in (["--all"], ["tests"], ["tests/core"]):
        collected = made.python("-m", "pytest", "--collect-only", "-q", *arguments).stdout
        assert "tests/core/middleware/test_retries.py" in collected


RUN_ON_GIVEN_SERVER = """
import os, subprocess, sys
environment = os.environ | {"TEST_DATABASE_URL": os.environ.pop("DATABASE_URL")}
command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/modules", "tests/test_migrations.py"]
sys.exit(subprocess.run(command, env=environment).returncode)
"""


@pytest.mark.long
def test_the_suite_passes_with_the_lowest_versions(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    lowest = replace(made.fresh, environment=tmp_path / "lowest")
    sync = ["uv", "sync", "--quiet", "--resolution", "lowest-direct"]
    run(sync, made.path, UV_PROJECT_ENVIRONMENT=str(lowest.environment))
    lowest.python("-m", "pytest", "tests")


def test_serving_needs_no_development_dependencies(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """What the Dockerfile does, without a container."""
    made = replace(project("sqlite").fresh, environment=tmp_path / "serving")
    assert not (made.path / "uv.lock").exists()
    install_as_in_the_image(made)
    for unneeded in ("docs", "noxfile.py", "README.md", "tests", "tools"):
        run(["rm", "-r", unneeded], made.path)
    url = "sqlite:///app.db"
    made.run("alembic", "upgrade", "head", DATABASE_URL=url)
    show = ("-c", "from app.main import app; print(app.title)")
    title = made.python(*show, DATABASE_URL=url).stdout
    collector = "http://127.0.0.1:4318"
    warned = made.python(*show, DATABASE_URL=url, OTEL_EXPORTER_OTLP_ENDPOINT=collector).stdout
    (line,) = set(warned.splitlines()) - set(title.splitlines())
    assert json.loads(line)["event"].endswith("run `uv sync --extra telemetry`.")


def install_as_in_the_image(made: Project, status: int = 0) -> str:
    """Run the Dockerfile's command; return what it prints."""
    dockerfile = (made.path / "Dockerfile").read_text("utf-8")
    [command] = re.findall(r"^RUN (.*uv sync.*)$", dockerfile, re.MULTILINE)
    variables = {"UV_PROJECT_ENVIRONMENT": str(made.environment)}
    return run(["sh", "-c", command], made.path, status=status, **variables).stdout


def test_the_image_refuses_a_stale_lock(project: Callable[..., Project], tmp_path: Path) -> None:
    made = replace(project("sqlite").fresh, environment=tmp_path / "image")
    run(["uv", "lock", "--quiet"], made.path)
    lock = (made.path / "uv.lock").read_bytes()
    install_as_in_the_image(made)
    edit(made.path / "pyproject.toml", "dependencies = [\n", 'dependencies = [\n    "idna>=3",\n')
    assert "`uv.lock` needs to be updated" in install_as_in_the_image(made, status=1)
    assert (made.path / "uv.lock").read_bytes() == lock


def without_mariadb() -> str:
    """Return a PATH that leads to what is needed, but to no server."""
    folders = os.environ["PATH"].split(os.pathsep)
    servers = ("mariadbd", "mysqld")
    return os.pathsep.join(
        folder for folder in folders if not any(shutil.which(s, path=folder) for s in servers)
    )


@pytest.mark.database("mysql")
def test_a_missing_mariadb_is_skipped_by_name_and_fails_under_ci(
    project: Callable[..., Project],
) -> None:
    made = project("mysql")
    command = (str(made.environment / "bin" / "python"), "-m", "pytest", "tests/modules")
    skipped = run(command, made.path, PATH=without_mariadb(), CI="")
    assert "neither mariadbd nor mysqld is on the PATH; install one" in skipped.stdout
    failed = run(command, made.path, status=4, PATH=without_mariadb(), CI="true")
    assert "neither mariadbd nor mysqld is on the PATH; install one" in failed.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "test"),
    [
        (
            "app/core/database.py",
            ', scope="function")',
            ")",
            "tests/core/test_database.py::test_failed_commit_is_a_server_error",
        ),
        (
            "app/core/database.py",
            "            await _commit(session, request)\n",
            "            pass\n",
            "tests/core/test_database.py::test_handler_that_returns_commits_before_the_response",
        ),
        (
            "alembic/versions/0001_initial.py",
            '        sa.Column("description", sa.String(length=2000), nullable=True),\n',
            "",
            "tests/test_migrations.py::test_models_match_the_migrations",
        ),
        (
            "app/core/migrations/lock.py",
            "while not session.try_lock():",
            "while False:",
            "tests/core/migrations/test_lock.py::test_an_upgrade_fails_while_another_process_holds_the_lock",
        ),
        (
            "app/core/migrations/lock.py",
            "        session.set_up()\n        session.check",
            "        session.check",
            "tests/core/test_dialect.py::test_rebuilding_a_table_keeps_rows_that_refer_to_it",
        ),
        (
            "app/core/migrations/__init__.py",
            '        "process_revision_directives": autogenerate.process_revision,\n',
            "",
            "tests/core/migrations/test_autogenerate.py::test_an_empty_autogenerated_revision_is_not_written",
        ),
        (
            "app/core/migrations/__init__.py",
            "**autogenerate.exclude_tables(patterns, find_schemas),",
            "",
            "tests/core/migrations/test_autogenerate.py::test_shared_tables_are_ignored",
        ),
        (
            "alembic/env.py",
            " and config.cmd_opts is not None",
            "",
            "tests/core/migrations/test_migrations.py::test_an_upgrade_in_process_keeps_the_logging_configuration",
        ),
        (
            "alembic/versions/HEAD",
            "0001",
            "0002",
            "tests/test_migrations.py::test_the_head_file_is_up_to_date",
        ),
        (
            "alembic/versions/0001_initial.py",
            '    op.drop_table("item")\n',
            "    pass\n",
            "tests/test_migrations.py::test_every_revision_upgrades_downgrades_and_upgrades_again",
        ),
        (
            "app/core/models.py",
            "value.replace(tzinfo=UTC)",
            "value",
            "tests/core/test_models.py::test_values_of_every_type_are_read_back_unchanged",
        ),
    ],
)
def test_a_removed_guard_fails_the_suite(
    project: Callable[..., Project], file: str, old: str, new: str, test: str
) -> None:
    made = project("sqlite")
    edit(made.path / file, old, new)
    made.python("-m", "pytest", "-q", test, status=1)


DEFAULTS = "server_defaults.py::test_only_changed_server_defaults_are_detected"


@pytest.mark.parametrize(
    ("file", "old", "new", "test"),
    [
        (
            "__init__.py",
            "server_defaults,\n    table_order,\n    type_comparison,\n)\n\n",
            "table_order,\n)\n\n",
            DEFAULTS,
        ),
        (
            "server_defaults.py",
            "if _is_same(text, _written(",
            "if True or _is_same(text, _written(",
            DEFAULTS,
        ),
        (
            "__init__.py",
            "(\n    check_constraints,\n    computed",
            "(\n    computed",
            "check_constraints.py",
        ),
        (
            "__init__.py",
            "constraints,\n    computed_columns,",
            "constraints,",
            "computed_columns.py",
        ),
        ("__init__.py", "columns,\n    indexes,", "columns,", "{database}_differences.py"),
        (
            "__init__.py",
            "columns,\n    indexes,\n    primary_keys,",
            "columns,\n    indexes,",
            "primary_keys.py",
        ),
        ("__init__.py", "    type_comparison,\n)\n\n", ")\n\n", "differences.py"),
    ],
    ids=["default", "changed default", "check", "computed column", "index", "primary key", "type"],
)
def test_a_removed_comparator_fails_the_suite(
    project: Callable[..., Project], database: str, file: str, old: str, new: str, test: str
) -> None:
    made = project(database)
    edit(made.path / f"app/core/migrations/{file}", old, new)
    made.python(
        "-m",
        "pytest",
        "-q",
        f"tests/core/migrations/test_{test.format(database=database)}",
        status=1,
    )


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("app/core/errors.py", "import app.main", "main > modules > core"),
        ("app/modules/item/router.py", "import sqlalchemy", "do not import SQLAlchemy"),
        ("app/modules/item/service.py", "import fastapi", "do not import FastAPI"),
        (
            "app/modules/item/router.py",
            "import app.modules.item.repository",
            "only services import repositories",
        ),
        (
            "app/modules/item/service.py",
            "import app.modules.user.repository",
            "modules import each other only through services",
        ),
        (
            "app/modules/handmade/service.py",
            "import app.modules.item.repository",
            "modules import each other only through services",
        ),
        (
            "app/modules/item/service.py",
            "import app.modules.user.router",
            "modules import each other only through services",
        ),
        ("app/modules/item/models.py", "import app.modules.item.service", "router > service"),
        ("app/modules/item/enums.py", "import app.modules.item.models", "models > enums"),
        (
            "app/modules/item/service.py",
            "import app.modules.user.service",
            "modules have no import cycles",
        ),
    ],
)
def test_lint_reports_a_crossed_boundary(
    project: Callable[..., Project], file: str, line: str, contract: str
) -> None:
    made = project("sqlite", modules=["item", "user"])
    changed = made.path / file
    changed.parent.mkdir(exist_ok=True)
    (changed.parent / "__init__.py").touch()
    with changed.open("a", encoding="utf-8") as code:
        code.write(f"\n{line}\n")
    if "cycles" in contract:
        with (made.path / "app/modules/user/service.py").open("a", encoding="utf-8") as code:
            code.write("\nimport app.modules.item.service\n")
    printed = made.run("lint-imports", status=1).stdout
    assert any(contract in text and "BROKEN" in text for text in printed.splitlines())


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("app/core/errors.py", "import app.worker", "main | worker > modules > core"),
        ("app/modules/item/service.py", "import app.modules.item.jobs", "router > jobs > service"),
        ("app/modules/item/jobs.py", "import app.modules.item.router", "router > jobs > service"),
        ("app/modules/item/jobs.py", "import sqlalchemy", "do not import SQLAlchemy"),
        (
            "app/modules/item/jobs.py",
            "import app.modules.item.repository",
            "only services import repositories",
        ),
    ],
)
def test_lint_reports_a_crossed_boundary_of_jobs(
    project: Callable[..., Project], file: str, line: str, contract: str
) -> None:
    made = project("sqlite", features=["jobs"])
    (made.path / "app/modules/item/jobs.py").touch()
    with (made.path / file).open("a", encoding="utf-8") as code:
        code.write(f"\n{line}\n")
    printed = made.run("lint-imports", status=1).stdout
    assert any(contract in text and "BROKEN" in text for text in printed.splitlines())
