"""What a team does not want goes with its file, its test, and its lines in app/main.py."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.projects import Project, render
from tests.test_rendered_code import check

# What the rest stands on.
NEEDED = {"database", "database_errors", "errors", "health", "list_check", "settings"}
CONCERNS = {
    *("access_log", "body_limit", "cors", "head_requests", "interactive_docs", "logs"),
    *("request_id", "retries", "security_headers", "telemetry", "timeouts", "trusted_hosts"),
}
# Features that a module opts into.
OPTIONS = {"idempotency", "soft_delete"}
CONCERNS |= OPTIONS


def imports(code: str) -> dict[str, set[str]]:
    """Return the names that come from each module of app.core."""
    return {
        node.module.removeprefix("app.core."): {alias.name for alias in node.names}
        for node in ast.parse(code).body
        if isinstance(node, ast.ImportFrom)
        and node.module is not None
        and node.module.startswith("app.core.")
    }


def without(code: str, concern: str) -> str:
    """Return the code without each line that has a name of a concern."""
    names = imports(code).get(concern, set())
    lines = code.splitlines(keepends=True)
    return "".join(line for line in lines if not names.intersection(re.findall(r"\w+", line)))


def remove(made: Project, *concerns: str) -> None:
    main = made.path / "app/main.py"
    for concern in concerns:
        for file in (made.path / "app/core").glob(f"{concern}*.py"):
            file.unlink()
        (made.path / f"tests/core/test_{concern}.py").unlink()
        main.write_text(without(main.read_text("utf-8"), concern), "utf-8")


def test_the_readme_names_each(template: Path, tmp_path: Path) -> None:
    made = render(template, tmp_path / "project")
    assert imports((made / "app/main.py").read_text("utf-8")).keys() - NEEDED == CONCERNS - OPTIONS
    readme = (made / "README.md").read_text("utf-8")
    section = readme.partition("### Without what you do not want\n")[2].partition("\n##")[0]
    assert set(re.findall(r"`(\w+)`", section)) == CONCERNS


def test_nothing_else_imports_one(template: Path, tmp_path: Path) -> None:
    made = render(template, tmp_path / "project")
    for file in [*(made / "app").rglob("*.py"), *(made / "tests").rglob("*.py")]:
        found = CONCERNS.intersection(imports(file.read_text("utf-8")))
        own = {file.stem.removeprefix("test_")}
        assert file == made / "app/main.py" or found <= own, file


def test_each_goes_with_its_lines(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    main = made.path / "app/main.py"
    code = main.read_text("utf-8")
    for concern in CONCERNS:
        main.write_text(without(code, concern), "utf-8")
        made.run("ruff", "check", str(main))
        made.run("ruff", "format", "--check", "--diff", str(main))


@pytest.mark.parametrize("concern", sorted(CONCERNS))
def test_the_tests_of_each_need_no_other_one(project: Callable[..., Project], concern: str) -> None:
    made = project("sqlite")
    remove(made, *CONCERNS - {concern})
    made.python("-m", "pytest", "-q", f"tests/core/test_{concern}.py")


def test_the_rest_works_without_all(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    remove(made, *CONCERNS)
    check(made)
    made.python("-m", "docs.openapi")
    tests = ("tests/core", "tests/modules", "tests/test_openapi.py")
    made.python("-m", "pytest", "-q", *tests, "--ignore", "tests/core/test_migrations.py")
