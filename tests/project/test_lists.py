"""The code in docs/lists.md works as shown, and mistakes are errors at startup."""

import re
from collections.abc import Callable

from tests.support.checks import check
from tests.support.edits import edit
from tests.support.projects import Project

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
QUERY = re.compile(r"class ItemQuery\(PageQuery\):\n(?:    .*\n)+")
SCHEMAS = "app/modules/item/schemas.py"
DOCUMENTED = "tests/modules/test_documented_lists.py"

TEST = """
import httpx2
import pytest

PATH = "/api/v1/items"
ITEMS = [("Lamp", "50% off"), ("Lamp shade", "red"), ("Chair", None)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        QUERIES
        ("prefix=Lamp", ["Lamp", "Lamp shade"]),
        ("search=LAMP", ["Lamp", "Lamp shade"]),
        ("description=red", ["Lamp shade"]),
        ("created_before=2026-01-01T00:00:00Z", []),
    ],
)
async def test_documented_queries(
    client: httpx2.AsyncClient, query: str, names: list[str]
) -> None:
    for name, description in ITEMS:
        item = {"name": name, "description": description}
        assert (await client.post(PATH, json=item)).status_code == 201
    found: list[str] = []
    link = f"?{query}&limit=1&total=true"
    while link and len(found) <= len(names):
        page = (await client.get(PATH + link)).raise_for_status().json()
        assert page["total"] == len(names)
        found += [item["name"] for item in page["items"]]
        link = page["next"]
    assert found == names
"""
# The items that the page's commands find.
FOUND = {
    "sort=-created_at": ["Chair", "Lamp shade", "Lamp"],
    "name=Lamp&name=Chair": ["Lamp", "Chair"],
    "search=50%25": ["Lamp"],
    "created_from=2026-01-01T00:00:00Z&sort=created_at": ["Lamp", "Lamp shade", "Chair"],
}


def follow_page(made: Project) -> None:
    """Apply the page's declarations, and write a test of its commands."""
    page = (made.path / "docs/lists.md").read_text("utf-8")
    shown = [query.split("&limit")[0] for query in re.findall(r'curl "\$api\?(\S+)"', page)]
    assert [query for query in shown if "total" not in query and "colour" not in query] == [*FOUND]
    [declared] = [text for _, text in BLOCK.findall(page) if text.startswith(f"# {SCHEMAS}\n")]
    imports = declared.partition("\n")[2].partition("\n\n\nclass")[0]
    [documented] = QUERY.findall(declared)
    schemas = made.path / SCHEMAS
    code = QUERY.sub(lambda _: documented, schemas.read_text("utf-8"))
    schemas.write_text(f"{imports}\n{code}", "utf-8")
    lines = "".join(f"({query!r}, {names!r}),\n" for query, names in FOUND.items())
    (made.path / DOCUMENTED).write_text(TEST.lstrip("\n").replace("QUERIES", lines), "utf-8")
    made.run("ruff", "check", "--fix", "--select", "I", SCHEMAS)
    made.run("ruff", "format", DOCUMENTED)


def test_the_documented_lists_work(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    follow_page(made)
    made.python("-m", "pytest", "-q", DOCUMENTED)


def test_the_documented_lists_are_clean(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    follow_page(made)
    made.python("-m", "tools.openapi")
    check(made)
    assert '"name": "created_before"' in (made.path / "docs/openapi.json").read_text("utf-8")


def test_a_filter_without_a_column_prevents_startup(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    field = "    placed_from: datetime | None = None\n"
    edit(made.path / SCHEMAS, '"-name"] = "id"\n', f'"-name"] = "id"\n{field}')
    edit(made.path / SCHEMAS, "from typing", "from datetime import datetime\nfrom typing")
    made.run("mypy", "app")
    serve = ("-m", "uvicorn", "app.main:app", "--port", "0")
    for command, status in ((serve, 1), (("-m", "pytest", "-q", "tests/modules"), 4)):
        printed = made.python(*command, status=status, DATABASE_URL="sqlite:///app.db").stdout
        assert "ItemQuery.placed_from: Item has no column 'placed_from'; its columns" in printed
        assert "created_at, description, id, name, updated_at, version" in printed
        assert 'Filter("column", operator.eq)' in printed
