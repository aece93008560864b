"""What is rendered is as clean as what is written by hand, for every combination of answers."""

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.projects import DATABASES, ROOT, Project, render, run
from tests.test_questions import naming  # noqa: F401

# Overrides on the defaults; each runs on each database.
ANSWERS: dict[str, dict[str, Any]] = {
    "none": {"modules": []},
    "one": {"modules": ["item"]},
    "several": {"modules": ["item", "category", "order_line", "box"], "shared_tables": ["auth_*"]},
    "reserved": {"modules": ["user", "order", "group", "pg_class", "ix_item", "name", "date"]},
    "awkward": {
        "modules": ["a", "q" * 20, "w" * 9 + "_" + "x" * 10, "item10", "item2", "item_2b", "test"]
    },
    "scan": {"model_discovery": "scan", "shared_tables": ["auth_*", "django_session"]},
    "scan-none": {"modules": [], "model_discovery": "scan"},
}


# Several commands in one process, which has to import everything only once.
ALEMBIC = "import sys; from alembic.config import main; [main(a.split()) for a in sys.argv[1:]]"


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("answers", ANSWERS)
def test_a_render_is_clean(project: Callable[..., Project], name: str, answers: str) -> None:
    check(project(name, **ANSWERS[answers]))


@pytest.mark.parametrize("answers", ANSWERS)
def test_migrations_go_up_and_down_without_a_difference(
    project: Callable[..., Project], database: str, answers: str
) -> None:
    made = project(database, **ANSWERS[answers])
    steps = ["upgrade head", "check", "downgrade base", "upgrade head", "check"]
    made.with_server(["python", "-c", ALEMBIC, *steps])


def test_migrations_import_no_web_framework(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    made.python("-c", MIGRATE, "upgrade head", "check", DATABASE_URL="sqlite:///app.db")


MIGRATE = f"""{ALEMBIC}
assert not {{"fastapi", "starlette", "structlog"}} & sys.modules.keys()
"""


def test_the_initial_revision_can_be_written_as_sql(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    url = {"sqlite": "sqlite:///unused.db"}.get(database, f"{database}://me:p%40ss%25@host/name")
    printed = made.run("alembic", "upgrade", "head", "--sql", DATABASE_URL=url).stdout
    assert "CREATE TABLE item (" in printed
    assert "INSERT INTO alembic_version (version_num) VALUES ('0001')" in printed


@pytest.mark.parametrize("name", DATABASES)
def test_the_workflows_are_what_github_expects(template: Path, tmp_path: Path, name: str) -> None:
    made = render(template, tmp_path / "project", database=name)
    workflows = sorted(map(str, (made / ".github/workflows").iterdir()))
    assert len(workflows) == 2
    schema = ("--builtin-schema", "vendor.github-workflows")
    run([sys.executable, "-m", "check_jsonschema", *schema, *workflows], made)
    # https://docs.zizmor.sh/audits/
    run(["zizmor", "--offline", "--quiet", str(made), str(ROOT / ".github")], made)


FIELDS = """
    colour: Mapped[Colour]
    sold_at: Mapped[datetime | None]
    lasted: Mapped[timedelta | None]
    code: Mapped[UUID | None] = mapped_column(unique=True)
    note: Mapped[str | None]
    tag_id: Mapped[UUID | None] = mapped_column(ForeignKey("tag.id"), index=True)


class Colour(Enum):
    RED = "red"
"""


def test_a_revision_that_a_user_generates_needs_no_edit(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database, modules=["item", "tag"])
    models = made.path / "app/modules/item/models.py"
    model, colour = FIELDS.split("\n\n\n")
    head = (
        "from datetime import datetime, timedelta\nfrom enum import Enum\nfrom uuid import UUID\n"
    )
    code = models.read_text("utf-8").replace("import String\n", "import ForeignKey, String\n")
    code = code.replace("class Item(", f"{colour}\n\nclass Item(") + model + "\n"
    models.write_text(f"{head}\n{code}", "utf-8")
    made.with_server(
        ["python", "-c", ALEMBIC, "upgrade head", "revision --autogenerate -m more"],
        ["python", "-c", ALEMBIC, "upgrade head", "check", "downgrade base", "upgrade head"],
    )
    [revision] = (made.path / "alembic/versions").glob("2*_more.py")
    assert "app." not in revision.read_text("utf-8")
    check(made)


def check(made: Project) -> None:
    """Fail unless format, style, types and boundaries hold and no Jinja is left."""
    made.run("ruff", "format", "--check", "--diff")
    made.run("ruff", "check")
    made.run("mypy")
    made.run("lint-imports")
    for file in (file for file in made.path.rglob("*") if file.is_file()):
        if not any(part.endswith("_cache") for part in file.parts):
            text = file.read_text("utf-8")
            assert not re.search(r"(?<!\$)\{\{|\{%", f"{file}\n{text}"), file
            if file.suffix in {".yml", ".yaml"}:
                assert yaml.safe_load(text)


def identifiers(project: Path) -> set[str]:
    """Return, in snake_case, every name that the code of a module mentions."""
    names = set()
    files = [*(project / "app/modules/item").glob("*.py"), project / "app/main.py"]
    for file in [*files, *(project / "tests/modules").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                words = [alias.name for alias in node.names] + [getattr(node, "module", "")]
                names.update(word for dotted in words for word in dotted.split("."))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
    folders = {file.stem for file in project.rglob("*") if ".venv" not in file.parts}
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in names | folders}


def test_a_module_may_have_any_name_that_the_code_mentions_or_is_refused(
    template: Path,
    tmp_path: Path,
    project: Callable[..., Project],
    naming: Any,  # noqa: F811
) -> None:
    """Each of these names could shadow something; what is accepted together must work together."""
    mentioned = identifiers(render(template, tmp_path / "mentioned"))
    assert mentioned >= {"session", "model", "page", "entity", "router", "env", "conftest"}
    builtin = {"base", "exception", "type", "id", "any", "object", "int", "input", "annotation"}
    accepted: list[str] = []
    refused: set[str] = set()
    for name in sorted(mentioned | builtin):
        if naming.module_error(name, list(map(naming.class_name, accepted)), []):
            refused.add(name)
        else:
            accepted.append(name)
    assert {"session", "page", "string", "entity", "mapped", "repository"} <= refused
    assert {"base", "model", "service", "router"} <= set(accepted)
    made = project("sqlite", modules=accepted)
    check(made)
    made.with_server(["python", "-c", ALEMBIC, "upgrade head", "check", "downgrade base"])
    paths = made.python("-c", DOCUMENTED, DATABASE_URL="sqlite:///unused.db").stdout
    assert int(paths) == 4 * len(accepted) + 2


# Part by part, because FastAPI 0.165 cannot describe more than 128 models of queries at once: it
# keeps their fields in a cache of that size, and finds them by identity.
DOCUMENTED = """
from fastapi.openapi.utils import get_openapi
from app.main import app

parts = [app.routes[at : at + 50] for at in range(0, len(app.routes), 50)]
documents = [get_openapi(title="", version="", routes=part) for part in parts]
print(sum(len(document.get("paths", ())) for document in documents))
"""
