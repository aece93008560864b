"""What the README shows of two modules works as it stands there, and its tests can fail."""

import re
from collections.abc import Callable

import pytest

from tests.projects import Project, run
from tests.test_rendered_code import ALEMBIC
from tests.test_rendered_suite import TESTS_OF_MODELS
from tests.test_soft_delete import edit

BLOCK = re.compile(r"^```(diff|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TEST = "tests/modules/test_items_of_invoices.py"
NO_LAZY_LOAD = "tests/core/test_models.py::test_no_relationship_loads_lazily"


def follow_readme(made: Project) -> None:
    """Do to the files what the README shows, and generate the revision."""
    readme = (made.path / "README.md").read_text("utf-8")
    section = readme.partition("### One module refers to another\n")[2].partition("\n## ")[0]
    assert apply_blocks(made, section) == ["diff"] * 5 + ["python"]


def apply_blocks(made: Project, section: str) -> list[str]:
    """Apply the patches and write the files of a section; return the kinds of its blocks."""
    blocks = BLOCK.findall(section)
    for kind, text in blocks:
        if kind == "diff":
            patch = made.path.with_name("readme.patch")
            patch.write_text(text, "utf-8")
            run(["git", "apply", "--verbose", str(patch)], made.path)
        else:
            name, _, code = text.removeprefix("# ").partition("\n")
            (made.path / name).write_text(code, "utf-8")
    made.python("-m", "docs.openapi")
    return [kind for kind, _ in blocks]


@pytest.fixture
def related(project: Callable[..., Project], database: str) -> Project:
    return make_related(project, database)


def make_related(project: Callable[..., Project], database: str) -> Project:
    made = project(database, modules=["item", "invoice"])
    run(["git", "init", "--quiet"], made.path)
    follow_readme(made)
    made.with_server(
        ["python", "-c", ALEMBIC, "upgrade head", "revision --autogenerate -m items"],
        ["python", "-c", ALEMBIC, "upgrade head", "check"],
    )
    return made


def test_what_the_readme_shows_works(related: Project) -> None:
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


def test_one_statement_for_each_row_is_shown(project: Callable[..., Project]) -> None:
    made = make_related(project, "sqlite")
    edit(made.path / "app/modules/invoice/models.py", 'lazy="raise"', 'lazy="immediate"')
    edit(
        made.path / "app/modules/invoice/repository.py",
        "statement.options(selectinload(Invoice.item))",
        "statement",
    )
    printed = made.python("-m", "pytest", "-q", TEST, status=1).stdout
    assert "AssertionError: 4 statements, at most 2 wanted:" in printed
    assert len(re.findall("^E +FROM item", printed, re.MULTILINE)) == 3


def test_an_item_of_the_other_module_is_reached_through_its_service_alone(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite", modules=["item", "invoice"])
    run(["git", "init", "--quiet"], made.path)
    follow_readme(made)
    made.run("lint-imports")
    with (made.path / "app/modules/invoice/repository.py").open("a", encoding="utf-8") as code:
        code.write("\nimport app.modules.item.repository\n")
    printed = made.run("lint-imports", status=1).stdout
    assert "only services import repositories BROKEN" in printed
