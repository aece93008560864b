"""The code in docs/relationships.md works as shown, and its tests can fail."""

import re
from collections.abc import Callable

import pytest

from tests.support.checks import TESTS_OF_MODELS
from tests.support.edits import edit
from tests.support.pages import follow_page
from tests.support.projects import Project, run
from tests.support.revisions import ALEMBIC

TEST = "tests/modules/test_items_of_invoices.py"
NO_LAZY_LOAD = "tests/core/test_models.py::test_no_relationship_is_loaded_lazily"


def make_edits(made: Project) -> None:
    run(["git", "init", "--quiet"], made.path)
    assert follow_page(made, "relationships") == ["diff"] * 5 + ["python"]
    made.python("-m", "tools.openapi")


@pytest.fixture
def related(project: Callable[..., Project], database: str) -> Project:
    return make_related(project, database)


def make_related(project: Callable[..., Project], database: str) -> Project:
    made = project(database, modules=["item", "invoice"])
    make_edits(made)
    made.with_server(
        ["python", "-c", ALEMBIC, "upgrade head", "revision --autogenerate -m items"],
        ["python", "-c", ALEMBIC, "upgrade head", "check"],
    )
    return made


def test_the_documented_relationship_works(related: Project) -> None:
    run(["git", "add", "--all"], related.path)
    related.run("nox", "-s", "lint")
    assert (related.path / TEST).exists()
    related.python("-m", "pytest", "-q", *TESTS_OF_MODELS)


def test_a_relationship_that_loads_lazily_is_named(project: Callable[..., Project]) -> None:
    made = make_related(project, "sqlite")
    edit(
        made.path / "app/modules/invoice/models.py", 'relationship(lazy="raise")', "relationship()"
    )
    printed = made.python("-m", "pytest", "-q", NO_LAZY_LOAD, status=1).stdout
    assert "add lazy=\"raise\" to ['Invoice.item']" in printed


def test_one_statement_per_row_fails_the_statement_limit(project: Callable[..., Project]) -> None:
    made = make_related(project, "sqlite")
    edit(made.path / "app/modules/invoice/models.py", 'lazy="raise"', 'lazy="immediate"')
    edit(
        made.path / "app/modules/invoice/repository.py",
        "statement.options(selectinload(Invoice.item))",
        "statement",
    )
    printed = made.python("-m", "pytest", "-q", TEST, status=1).stdout
    assert "AssertionError: 4 statements, expected at most 2:" in printed
    assert len(re.findall("^E +FROM item", printed, re.MULTILINE)) == 3


def test_another_module_is_reached_only_through_its_service(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite", modules=["item", "invoice"])
    make_edits(made)
    made.run("lint-imports")
    with (made.path / "app/modules/invoice/repository.py").open("a", encoding="utf-8") as code:
        code.write("\nimport app.modules.item.repository\n")
    printed = made.run("lint-imports", status=1).stdout
    assert "only services import repositories BROKEN" in printed
