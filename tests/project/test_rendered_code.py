"""Rendered code passes all checks, for every combination of answers."""

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import ANSWERS
from tests.support.checks import check
from tests.support.projects import DATABASES, ROOT, Project, render, run
from tests.support.revisions import ALEMBIC


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("answers", ANSWERS)
def test_rendered_project_passes_all_checks(
    project: Callable[..., Project], name: str, answers: str
) -> None:
    check(project(name, **ANSWERS[answers]))


@pytest.mark.parametrize("name", DATABASES)
def test_workflows_match_the_schema_of_github(template: Path, tmp_path: Path, name: str) -> None:
    made = render(template, tmp_path / "project", database=name)
    workflows = sorted(map(str, (made / ".github/workflows").iterdir()))
    assert len(workflows) == 2
    schema = ("--builtin-schema", "vendor.github-workflows")
    run([sys.executable, "-m", "check_jsonschema", *schema, *workflows], made)
    schema = ("--builtin-schema", "vendor.dependabot")
    run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(made / ".github/dependabot.yml")],
        made,
    )
    # https://docs.zizmor.sh/audits/
    run(["zizmor", "--offline", "--quiet", str(made), str(ROOT / ".github")], made)


def identifiers(project: Path) -> set[str]:
    """Return every name that the code of a module uses, in snake_case."""
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


@pytest.mark.long
def test_module_names_that_the_code_uses_work_or_are_rejected(
    template: Path,
    tmp_path: Path,
    project: Callable[..., Project],
    naming: Any,
) -> None:
    """Each of these names could shadow another one; all accepted names must work together."""
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
    assert int(paths) == 2 * len(accepted) + 2


# In parts, because FastAPI 0.165 cannot document more than 128 query models at once: it looks up
# their fields by identity in a cache of that size.
DOCUMENTED = """
from fastapi.openapi.utils import get_openapi
from app.main import app

parts = [app.routes[at : at + 50] for at in range(0, len(app.routes), 50)]
documents = [get_openapi(title="", version="", routes=part) for part in parts]
print(sum(len(document.get("paths", ())) for document in documents))
"""
