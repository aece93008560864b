"""Rows of their owner, as docs/auth.md describes them."""

from collections.abc import Callable

import pytest

from tests.support.checks import TESTS_OF_MODELS
from tests.support.pages import follow_page
from tests.support.projects import Project, run


@pytest.mark.parametrize("auth", ["oidc", "users"])
def test_rows_of_other_owners_are_missing(
    project: Callable[..., Project], database: str, auth: str
) -> None:
    features = ["jobs", "mail"] if auth == "users" else []
    made = project(database, auth=auth, features=features)
    run(["git", "init", "--quiet"], made.path)
    assert follow_page(made, "auth", "Rows of their owner") == ["diff", "python"]
    made.python("-m", "tools.initial_revision")
    made.python("-m", "pytest", "-q", *TESTS_OF_MODELS)
    made.run("ruff", "format", "--check")
    made.run("ruff", "check")
    made.run("mypy")
    made.run("lint-imports")
