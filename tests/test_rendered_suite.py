"""The rendered project's own tests pass, and fail when what they guard is taken away."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.projects import Project, run

MODULES = {"none": [], "two": ["item", "user"]}
# Those that other models may break; the rest look at what a module does not change.
TESTS_OF_MODELS = (
    *("tests/modules", "tests/test_migrations.py", "tests/test_openapi.py"),
    *("tests/core/test_models.py", "tests/core/test_soft_delete.py", "tests/core/test_schemas.py"),
)


@pytest.mark.parametrize("modules", MODULES)
def test_it_passes_on_a_private_server(
    project: Callable[..., Project], database: str, modules: str
) -> None:
    made = project(database, modules=MODULES[modules])
    printed = made.python("-m", "pytest", "tests", "--numprocesses", "2").stdout
    assert " skipped" not in printed


def test_it_passes_on_a_server_that_is_given(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    made.with_server(
        # The variable is the other one's name for the same server.
        ["python", "-c", RUN_ON_GIVEN_SERVER],
    )


def test_a_bare_pytest_leaves_out_the_tests_of_the_template(
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
        assert "tests/core/test_retries.py" in collected


def test_models_without_a_revision_are_one_failure(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    mutate(
        made,
        "app/modules/item/models.py",
        "    name: Mapped",
        "    price: Mapped[int]\n    name: Mapped",
    )
    tests = ("tests/modules", "tests/test_migrations.py", "tests/core/test_migrations.py")
    printed = made.python("-m", "pytest", "-q", *tests, status=1).stdout
    advice = (
        "The models and the migrations differ; generate the revision first: uv run alembic revision"
    )
    [failed] = re.findall("^FAILED (.*)$", printed, re.MULTILINE)
    assert failed.startswith("tests/test_migrations.py::test_the_models_are_what_the_migrations")
    assert f"AssertionError: {advice}" in printed
    assert not re.search("^ERROR ", printed, re.MULTILINE)
    # If every test is skipped, the run still fails.
    printed = made.python("-m", "pytest", "-q", "tests/modules", status=1).stdout
    assert set(re.findall(r"^SKIPPED \[\d+\] \S+ (.{79})", printed, re.MULTILINE)) == {advice[:79]}


RUN_ON_GIVEN_SERVER = """
import os, subprocess, sys
environment = os.environ | {"TEST_DATABASE_URL": os.environ.pop("DATABASE_URL")}
command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/modules", "tests/test_migrations.py"]
sys.exit(subprocess.run(command, env=environment).returncode)
"""


def test_it_passes_with_the_lowest_versions(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    lowest = replace(made, environment=tmp_path / "lowest")
    sync = ["uv", "sync", "--quiet", "--resolution", "lowest-direct"]
    run(sync, made.path, UV_PROJECT_ENVIRONMENT=str(lowest.environment))
    lowest.python("-m", "pytest", "tests")


def test_serving_needs_no_development_dependencies(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """What the Dockerfile does, without a container."""
    made = replace(project("sqlite"), environment=tmp_path / "serving")
    assert not (made.path / "uv.lock").exists()
    install_as_in_the_image(made)
    for unneeded in ("tests", "noxfile.py", "README.md"):
        run(["rm", "-r", unneeded], made.path)
    url = "sqlite:///app.db"
    made.run("alembic", "upgrade", "head", DATABASE_URL=url)
    show = ("-c", "from app.main import app; print(app.title)")
    title = made.python(*show, DATABASE_URL=url).stdout
    collector = "http://127.0.0.1:4318"
    warned = made.python(*show, DATABASE_URL=url, OTEL_EXPORTER_OTLP_ENDPOINT=collector).stdout
    (line,) = set(warned.splitlines()) - set(title.splitlines())
    assert json.loads(line)["event"].endswith("install its exporter by uv sync --extra telemetry.")


def install_as_in_the_image(made: Project, status: int = 0) -> str:
    """Run the Dockerfile's command; return what it prints."""
    dockerfile = (made.path / "Dockerfile").read_text("utf-8")
    [command] = re.findall(r"^RUN (.*uv sync.*)$", dockerfile, re.MULTILINE)
    variables = {"UV_PROJECT_ENVIRONMENT": str(made.environment)}
    return run(["sh", "-c", command], made.path, status=status, **variables).stdout


def test_the_image_refuses_a_stale_lock(project: Callable[..., Project], tmp_path: Path) -> None:
    made = replace(project("sqlite"), environment=tmp_path / "image")
    run(["uv", "lock", "--quiet"], made.path)
    lock = (made.path / "uv.lock").read_bytes()
    install_as_in_the_image(made)
    mutate(made, "pyproject.toml", "dependencies = [\n", 'dependencies = [\n    "idna>=3",\n')
    assert "`uv.lock` needs to be updated" in install_as_in_the_image(made, status=1)
    assert (made.path / "uv.lock").read_bytes() == lock


def without_mariadb() -> str:
    """Return a PATH that leads to what is needed, but to no server."""
    folders = os.environ["PATH"].split(os.pathsep)
    servers = ("mariadbd", "mysqld")
    return os.pathsep.join(
        folder for folder in folders if not any(shutil.which(s, path=folder) for s in servers)
    )


def test_a_missing_mariadb_is_skipped_by_name_and_fails_under_ci(
    project: Callable[..., Project],
) -> None:
    made = project("mysql")
    command = (str(made.environment / "bin" / "python"), "-m", "pytest", "tests/modules")
    skipped = run(command, made.path, PATH=without_mariadb(), CI="")
    assert "neither mariadbd nor mysqld is on the PATH; install one" in skipped.stdout
    failed = run(command, made.path, status=4, PATH=without_mariadb(), CI="true")
    assert "neither mariadbd nor mysqld is on the PATH; install one" in failed.stdout


def mutate(project: Project, file: str, old: str, new: str) -> None:
    path = project.path / file
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "test"),
    [
        (
            "app/core/database.py",
            ', scope="function")',
            ")",
            "tests/core/test_database.py::test_a_commit_that_fails_is_no_success",
        ),
        (
            "app/core/database.py",
            "            await _commit(session, request)\n",
            "            pass\n",
            "tests/core/test_database.py::test_a_returning_handler_commits_before_the_response",
        ),
        (
            "alembic/versions/0001_initial.py",
            '        sa.Column("description", sa.String(length=2000), nullable=True),\n',
            "",
            "tests/test_migrations.py::test_the_models_are_what_the_migrations_make",
        ),
        (
            "app/core/migration_lock.py",
            "while not session.try_lock():",
            "while False:",
            "tests/core/test_migrations.py::test_one_migrates_at_a_time",
        ),
        (
            "app/core/migration_lock.py",
            "        session.prepare()\n        session.check",
            "        session.check",
            "tests/core/test_dialect.py::test_a_table_made_anew_keeps_the_rows_that_refer_to_it",
        ),
        (
            "app/core/migrations.py",
            '        "process_revision_directives": autogenerate.process_revision,\n',
            "",
            "tests/core/test_migrations.py::test_no_revision_without_a_change_is_written",
        ),
        (
            "app/core/migrations.py",
            "**autogenerate.leave_alone(shared_tables(config)),",
            "",
            "tests/core/test_migrations.py::test_tables_of_somebody_else_are_left_alone",
        ),
        (
            "alembic/env.py",
            " and config.cmd_opts is not None",
            "",
            "tests/core/test_migrations.py::test_logging_stays_as_it_was",
        ),
        (
            "alembic/versions/HEAD",
            "0001",
            "0002",
            "tests/test_migrations.py::test_the_tracked_head_is_the_head",
        ),
        (
            "alembic/versions/0001_initial.py",
            '    op.drop_table("item")\n',
            "    pass\n",
            "tests/test_migrations.py::test_every_revision_goes_up_down_and_up",
        ),
        (
            "app/core/models.py",
            "value.replace(tzinfo=UTC)",
            "value",
            "tests/core/test_models.py::test_every_type_comes_back_as_it_went",
        ),
    ],
)
def test_a_guard_that_is_taken_away_is_missed(
    project: Callable[..., Project], file: str, old: str, new: str, test: str
) -> None:
    made = project("sqlite")
    mutate(made, file, old, new)
    made.python("-m", "pytest", "-q", test, status=1)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("migrations.py", ", autogenerate.PLUGIN.name]", "]"),
        ("autogenerate.py", 'found in (spelled, f"({spelled})")', "False"),
    ],
    ids=["not compared", "compared as text"],
)
def test_a_comparator_that_is_taken_away_is_missed(
    project: Callable[..., Project], database: str, file: str, old: str, new: str
) -> None:
    made = project(database)
    test = "tests/core/test_migrations.py::test_only_a_default_that_differs_is_a_difference"
    mutate(made, f"app/core/{file}", old, new)
    made.python("-m", "pytest", "-q", test, status=1)


def test_a_forgotten_import_is_answered_with_its_line(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    line = "from app.modules.item import models as item_models  # noqa: F401"
    made.run("ruff", "check", "--fix", "--extend-select", "F401,RUF100")
    mutate(made, "alembic/env.py", f"{line}\n", "")
    printed = made.python("-m", "pytest", "-q", "tests/test_migrations.py", status=1).stdout
    assert f"add to alembic/env.py, below isort: split: ['{line}']" in printed


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("app/core/errors.py", "import app.main", "main > modules > core"),
        ("app/modules/item/router.py", "import sqlalchemy", "know no SQLAlchemy"),
        ("app/modules/item/service.py", "import fastapi", "know no FastAPI"),
        (
            "app/modules/item/router.py",
            "import app.modules.item.repository",
            "only services import repositories",
        ),
        (
            "app/modules/item/service.py",
            "import app.modules.user.repository",
            "one module reaches another only through its service",
        ),
        (
            "app/modules/handmade/service.py",
            "import app.modules.item.repository",
            "one module reaches another only through its service",
        ),
        (
            "app/modules/item/service.py",
            "import app.modules.user.router",
            "one module reaches another only through its service",
        ),
        ("app/modules/item/models.py", "import app.modules.item.service", "router > service"),
        ("app/modules/item/enums.py", "import app.modules.item.models", "models > enums"),
        (
            "app/modules/item/service.py",
            "import app.modules.user.service",
            "do not import each other in circles",
        ),
    ],
)
def test_a_boundary_that_is_crossed_is_reported(
    project: Callable[..., Project], file: str, line: str, contract: str
) -> None:
    made = project("sqlite", modules=["item", "user"])
    changed = made.path / file
    changed.parent.mkdir(exist_ok=True)
    (changed.parent / "__init__.py").touch()
    with changed.open("a", encoding="utf-8") as code:
        code.write(f"\n{line}\n")
    if "circles" in contract:
        with (made.path / "app/modules/user/service.py").open("a", encoding="utf-8") as code:
            code.write("\nimport app.modules.item.service\n")
    printed = made.run("lint-imports", status=1).stdout
    assert any(contract in text and "BROKEN" in text for text in printed.splitlines())
