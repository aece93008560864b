"""`nox -s initial` rewrites the initial revision from the models, or leaves it as it is."""

import signal
from collections.abc import Callable

import pytest

from tests.support.checks import TESTS_OF_MODELS
from tests.support.edits import edit
from tests.support.projects import Project

INITIAL = "alembic/versions/0001_initial.py"
REWRITE = ("-m", "tools.initial_revision")

MODEL = """
    email: Mapped[str] = mapped_column(String(320), unique=True)
    price: Mapped[int]
"""
CREATE = """
    email: Email
    price: Price = 0
"""
UPDATE = """
    email: Email | MISSING = MISSING
    price: Price | MISSING = MISSING
"""
QUERY = """
    sort: Literal["id", "-id", "email", "-email"] = "id"
    email: Email | None = None
"""
READ = """
    email: str
    price: int
"""
TYPES = """
Email = Annotated[Text, StringConstraints(min_length=3, max_length=320)]
Price = Annotated[int, Field(ge=0, le=1_000_000)]
"""
CONSTANTS = """
EXAMPLE: dict[str, Any] = {"email": "ann@example.com", "price": 5}
CHANGE: dict[str, Any] = {"price": 7}
FIELD, VALUES = "email", ["a@example.com", "b@example.com", "c@example.com"]
REQUIRED = "email"
INVALID: list[dict[str, Any]] = [{"email": ""}, {"price": -1}, {"unknown": 1}]
INVALID_QUERIES = ["sort=price", "email=%00"]
"""


def replace_between(made: Project, file: str, begin: str, end: str, new: str) -> None:
    """Replace the text between two others."""
    path = made.path / file
    before, found, rest = path.read_text("utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    assert found, begin
    assert found_end, end
    path.write_text(before + begin + new + end + after, "utf-8")


def change_fields(made: Project) -> None:
    """Give items other fields, as a user would; in the tests, change only the constants."""
    models, schemas = "app/modules/item/models.py", "app/modules/item/schemas.py"
    edit(made.path / models, "    name: Mapped[str] = mapped_column(String(200), index=True)\n", "")
    line = "    description: Mapped[str | None] = mapped_column(String(2000))\n"
    edit(made.path / models, line, MODEL.removeprefix("\n"))
    replace_between(made, schemas, "WriteSchema\n", "\n\nclass ItemCreate", TYPES)
    replace_between(made, schemas, "ItemCreate(WriteSchema):", "\n\n# MISSING", CREATE)
    replace_between(made, schemas, "ItemUpdate(WriteSchema):", "\n\nclass", UPDATE)
    replace_between(made, schemas, "ItemQuery(PageQuery):", "\n\nclass", QUERY)
    replace_between(made, schemas, "ItemRead(ReadSchema):", "    version", READ)
    constants = CONSTANTS + "\n"
    begin = "edit these constants after you change the model and the schemas."
    replace_between(made, "tests/modules/test_item.py", begin, "\nasync def create(", constants)


@pytest.mark.long
def test_other_fields_need_an_initial_revision_and_constants_of_the_tests(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    change_fields(made)
    made.run("nox", "-s", "initial")
    revision = (made.path / INITIAL).read_text("utf-8")
    assert 'revision: str = "0001"' in revision
    assert '"name"' not in revision
    made.python("-m", "tools.openapi")
    if database != "sqlite":
        made.python("-m", "pytest", *TESTS_OF_MODELS)
        return
    made.run("nox", "-s", "lint")
    made.python("-m", "pytest", "tests")


def test_an_applied_initial_revision_is_not_rewritten(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    before = (made.path / INITIAL).read_bytes()
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        printed = made.python(*REWRITE, status=1, DATABASE_URL=url).stdout
        assert "Revision 0001 has been applied to " in printed
        assert (made.path / INITIAL).read_bytes() == before
        made.run("alembic", "downgrade", "base", DATABASE_URL=url)
        made.python(*REWRITE, DATABASE_URL=url)
    assert (made.path / INITIAL).read_bytes() != before


def test_the_initial_revision_is_not_rewritten_if_there_is_a_second_one(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    before = (made.path / INITIAL).read_bytes()
    made.run("alembic", "revision", "-m", "more", DATABASE_URL="sqlite:///app.db")
    assert " has 2 revisions; " in made.python(*REWRITE, status=1).stdout
    assert (made.path / INITIAL).read_bytes() == before


def test_a_database_that_cannot_be_reached_is_named(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    (made.path / "app.db").write_text("no database", "utf-8")
    printed = made.python(*REWRITE, DATABASE_URL="sqlite:///app.db").stdout
    assert "app.db could not be checked for applied revisions: file is not a database" in printed


def test_the_initial_revision_is_not_rewritten_with_a_development_database(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    before = (made.path / INITIAL).read_bytes()
    (made.path / ".dev").mkdir()
    assert "(rm -r .dev)" in made.python(*REWRITE, status=1).stdout
    assert (made.path / INITIAL).read_bytes() == before


def test_the_rewrite_creates_no_sqlite_file(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    made.python(*REWRITE, DATABASE_URL="sqlite:///app.db")
    assert not list(made.path.glob("*.db*"))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import nothing_of_this_name", 1),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGINT)})", 130),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGTERM)})", 130),
    ],
    ids=["import error", "SIGINT", "SIGTERM"],
)
def test_a_failed_rewrite_leaves_the_initial_revision(
    project: Callable[..., Project], code: str, status: int
) -> None:
    made = project("sqlite")
    before = {path: path.read_bytes() for path in (made.path / "alembic/versions").iterdir()}
    with (made.path / "app/modules/item/models.py").open("a", encoding="utf-8") as models:
        models.write(f"\n{code}\n")
    made.python(*REWRITE, status=status)
    after = {path: path.read_bytes() for path in (made.path / "alembic/versions").iterdir()}
    assert after == before
