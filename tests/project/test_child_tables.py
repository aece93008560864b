"""The code in docs/child_tables.md works as shown."""

from collections.abc import Callable

from tests.support.pages import follow_page
from tests.support.projects import Project, run
from tests.support.revisions import ALEMBIC

TESTS = ("tests/modules", "tests/test_migrations.py", "tests/test_openapi.py")


def test_a_child_table_is_part_of_a_module(project: Callable[..., Project], database: str) -> None:
    made = project(database, modules=["order"])
    run(["git", "init", "--quiet"], made.path)
    assert follow_page(made, "child_tables") == ["diff"] * 5 + ["python"]
    made.python("-m", "tools.openapi")
    made.with_server(
        ["python", "-c", ALEMBIC, "upgrade head", "revision --autogenerate -m order_line"],
        ["python", "-c", ALEMBIC, "upgrade head", "check"],
    )
    made.python("-m", "pytest", "-q", *TESTS)
    if database == "sqlite":
        # The code is the same on each database.
        run(["git", "add", "--all"], made.path)
        made.run("nox", "-s", "lint")
