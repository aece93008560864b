"""The page of the feature mail works as shown."""

from collections.abc import Callable

from tests.support.checks import check
from tests.support.pages import follow_page
from tests.support.projects import Project, run


def test_the_examples_work(project: Callable[..., Project], database: str) -> None:
    made = project(database, features=["jobs", "mail"])
    run(["git", "init", "--quiet"], made.path)
    assert "jinja" in follow_page(made, "mail")
    check(made)
    made.python("-m", "pytest", "-q", "tests/modules")
