"""Checks of a rendered project."""

import re

import yaml

from tests.support.projects import Project

# Those that other models may break; the rest look at what a module does not change.
TESTS_OF_MODELS = (
    *("tests/modules", "tests/test_migrations.py", "tests/test_openapi.py"),
    *("tests/core/test_models.py", "tests/core/test_soft_delete.py", "tests/core/test_schemas.py"),
)
# Templates of mails, and the page with examples of them.
JINJA_FILES = re.compile(r"/mails?/.*\.(txt|html)$|/docs/mail\.md$")


def check(made: Project) -> None:
    """Fail unless format, style, types and boundaries hold and no Jinja is left."""
    made.run("ruff", "format", "--check", "--diff")
    made.run("ruff", "check")
    made.run("mypy")
    made.run("lint-imports")
    for file in (file for file in made.path.rglob("*") if file.is_file()):
        if not any(part.endswith("_cache") for part in file.parts):
            text = file.read_text("utf-8")
            if not JINJA_FILES.search(str(file)):
                assert not re.search(r"(?<!\$)\{\{|\{%", f"{file}\n{text}"), file
            if file.suffix in {".yml", ".yaml"}:
                assert yaml.safe_load(text)
