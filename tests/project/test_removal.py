"""A feature, or a part of jobs, can be removed with its files and the lines that use them."""

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.checks import check
from tests.support.projects import Project, render
from tests.support.repositories import commit, git

# Required by the rest of the application.
NEEDED = {
    *("database", "database_errors", "errors", "health", "middleware", "query_check"),
    *("repository", "settings", "unexpected_errors"),
}
FEATURES = {
    *("access_log", "body_limit", "cors", "head_requests", "interactive_docs", "logs"),
    *("request_id", "retries", "security_headers", "telemetry", "timeouts", "trusted_hosts"),
}
# Features that a module opts into.
OPTIONS = {"idempotency", "soft_delete"}
FEATURES |= OPTIONS
# Files with the lines of features.
MAIN = Path("app/main.py")
MIDDLEWARE = Path("app/core/middleware/__init__.py")


def imports(code: str) -> dict[str, set[str]]:
    """Return the names imported from each feature, or other module, of app.core."""
    return {
        next((part for part in parts(node) if part in FEATURES), parts(node)[-1]): {
            alias.name for alias in node.names
        }
        for node in ast.parse(code).body
        if isinstance(node, ast.ImportFrom)
        and node.module is not None
        and node.module.startswith("app.core.")
    }


def parts(node: ast.ImportFrom) -> list[str]:
    return (node.module or "").split(".")


def without(code: str, feature: str) -> str:
    """Return the code without the lines that contain a name of a feature, and emptied `if`s."""
    names = imports(code).get(feature, set())
    lines = code.splitlines(keepends=True)
    kept = "".join(line for line in lines if not names.intersection(re.findall(r"\w+", line)))
    return re.sub(r"^( *)if .*:\n(?!\1 )", "", kept, flags=re.MULTILINE)


def find_test(made: Project, feature: str) -> Path:
    [file] = (made.path / "tests/core").rglob(f"test_{feature}.py")
    return file


def remove(made: Project, *features: str) -> None:
    for feature in features:
        # A file, or a folder of its own.
        for path in [
            *(made.path / "app/core").rglob(f"{feature}.py"),
            made.path / "app/core" / feature,
        ]:
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        find_test(made, feature).unlink()
        for name in (MAIN, MIDDLEWARE):
            file = made.path / name
            file.write_text(without(file.read_text("utf-8"), feature), "utf-8")


def test_documentation_lists_each_removable_feature(template: Path, tmp_path: Path) -> None:
    made = render(template, tmp_path / "project")
    main, middleware = (imports((made / file).read_text("utf-8")) for file in (MAIN, MIDDLEWARE))
    assert (main.keys() | middleware.keys()) - NEEDED == FEATURES - OPTIONS
    assert main.keys() & middleware.keys() == set()
    page = (made / "docs/removing_features.md").read_text("utf-8")
    assert set(re.findall(r"`(\w+)`", page)) == FEATURES


def test_the_documented_commands_remove_cors(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    page = (made.path / "docs/removing_features.md").read_text("utf-8")
    [commands] = re.findall(r"```bash\n(.*?)uv run nox\n```", page, re.DOTALL)
    git(made.path, "init", "--quiet")
    commit(made.path)
    made.run("bash", "-ec", commands)
    assert not list(made.path.rglob("*cors.py"))
    made.run("ruff", "check", *map(str, (MAIN, MIDDLEWARE)))
    made.python("-m", "pytest", "-q", "tests/modules")


def test_removable_features_are_imported_only_where_they_are_installed(
    template: Path, tmp_path: Path
) -> None:
    made = render(template, tmp_path / "project")
    for file in [*(made / "app").rglob("*.py"), *(made / "tests").rglob("*.py")]:
        found = FEATURES.intersection(imports(file.read_text("utf-8")))
        parts = file.relative_to(made).with_suffix("").parts
        own = {part.removeprefix("test_") for part in parts}
        assert file.relative_to(made) in (MAIN, MIDDLEWARE) or found <= own, file


def test_each_feature_is_removed_with_its_lines(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    for name in (MAIN, MIDDLEWARE):
        file = made.path / name
        code = file.read_text("utf-8")
        for feature in FEATURES & imports(code).keys():
            file.write_text(without(code, feature), "utf-8")
            made.run("ruff", "check", str(file))
            made.run("ruff", "format", "--check", "--diff", str(file))


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_tests_of_each_feature_need_no_other_feature(
    project: Callable[..., Project], feature: str
) -> None:
    made = project("sqlite")
    remove(made, *FEATURES - {feature})
    made.python("-m", "pytest", "-q", str(find_test(made, feature)))


def test_project_works_without_all_features(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    remove(made, *FEATURES)
    check(made)
    made.python("-m", "tools.openapi")
    tests = ("tests/core", "tests/modules", "tests/test_openapi.py")
    made.python("-m", "pytest", "-q", *tests, "--ignore", "tests/core/migrations")


@pytest.mark.parametrize("part", ["Brokers", "Traces and metrics", "Schedules"])
def test_the_documented_commands_remove_each_part_of_jobs(
    project: Callable[..., Project], part: str
) -> None:
    made = project("sqlite", features=["jobs"])
    page = (made.path / "docs/jobs.md").read_text("utf-8")
    block = rf"^```bash\n# {part}[.;].*\n(.*?)^```$"
    [commands] = re.findall(block, page, re.DOTALL | re.MULTILINE)
    git(made.path, "init", "--quiet")
    commit(made.path)
    made.run("bash", "-ec", commands)
    made.run("ruff", "check", "--fix")
    made.run("ruff", "format")
    made.run("mypy")
    made.python("-m", "pytest", "-q", "tests/core/jobs")
