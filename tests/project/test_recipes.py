"""The code on the pages in docs/ works as shown, all together in one project."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pages import follow_page
from tests.support.projects import Project, run
from tests.support.revisions import ALEMBIC

# In an order that leaves the imports of app/main.py sorted.
PAGES = (
    *("bulk_creation", "aggregates", "enums", "scripts"),
    *("file_uploads", "background_tasks", "jobs", "bearer_tokens"),
)
IMPORT = ("-m", "app.modules.item.import_csv", "items.csv")


def install_multipart(folder: Path) -> None:
    """Do what `uv add python-multipart` does, without changing the shared environment."""
    run(["uv", "pip", "install", "--quiet", "--target", str(folder), "python-multipart"], Path("/"))


@pytest.fixture
def followed(
    project: Callable[..., Project], database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    made = project(database, features=["jobs"])
    run(["git", "init", "--quiet"], made.path)
    for name in PAGES:
        follow_page(made, name)
    install_multipart(tmp_path / "multipart")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "multipart"))
    # FastAPI looks for python-multipart when it is imported.
    return made.fresh


@pytest.mark.long
def test_all_recipes_work_in_one_project(followed: Project, database: str) -> None:
    (followed.path / "items.csv").write_text("name,description\nLamp,For a desk\nDesk,\n", "utf-8")
    with followed.server() as url:
        followed.python("-c", ALEMBIC, "upgrade head", GENERATE, DATABASE_URL=url)
        followed.run("alembic", "upgrade", "head", DATABASE_URL=url)
        assert "2 items added" in followed.python(*IMPORT, DATABASE_URL=url).stdout
        assert followed.sql(url, "SELECT status FROM item") == [["draft"], ["draft"]]
    followed.python("-m", "tools.openapi", API_TOKENS="{}")
    followed.python("-m", "tools.settings_reference", API_TOKENS="{}")
    if database == "sqlite":
        run(["git", "add", "--all"], followed.path)
        followed.run("nox", "-s", "lint")
    # The template's own tests start processes, for which API_TOKENS is in tests/settings.env.
    followed.python("-m", "pytest", "-q", *(["tests"] if database == "sqlite" else []))


GENERATE = "revision --autogenerate -m status"


def test_a_required_setting_without_a_value_fails_the_tests(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    run(["git", "init", "--quiet"], made.path)
    follow_page(made, "bearer_tokens")
    (made.path / "tests/settings.env").unlink()
    printed = made.python("-m", "pytest", "-q", "tests/modules", status=1).stdout
    assert "API_TOKENS: missing; set it in the environment or in .env" in printed
