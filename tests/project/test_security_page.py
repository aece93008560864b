"""The page about security names tests that exist, and has each requirement once."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.projects import render

ANSWERS = {"oidc": [], "users": ["jobs", "mail"]}
# Requirements of OWASP ASVS 5.0 of the levels 1 and 2, by section, with the level of each.
REQUIREMENTS = {
    "6.1": "122",
    "6.2": "111111112222",
    "6.3": "1122",
    "6.4": "1122",
    "6.5": "22222",
    "6.6": "222",
    "6.8": "2222",
    "7.1": "222",
    "7.2": "1111",
    "7.3": "22",
    "7.4": "11222",
    "7.5": "22",
    "7.6": "22",
    "8.1": "12",
    "8.2": "112",
    "8.3": "1",
    "8.4": "2",
}
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| (\d) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:: (test_\w+(?:, test_\w+)*))?`")


@pytest.fixture(params=ANSWERS)
def made(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Path:
    auth: str = request.param
    return render(
        template, tmp_path / "project", database="sqlite", auth=auth, features=ANSWERS[auth]
    )


def read_page(made: Path) -> str:
    return (made / "docs/security.md").read_text("utf-8")


def test_each_requirement_has_one_row(made: Path) -> None:
    wanted = [
        (f"{section}.{number}", level)
        for section, levels in REQUIREMENTS.items()
        for number, level in enumerate(levels, 1)
    ]
    assert len(wanted) == 60
    page = read_page(made)
    assert ROW.findall(page) == wanted
    # No row that the pattern misses.
    assert len(re.findall(r"^\| *\d", page, re.MULTILINE)) == 60


def test_the_named_tests_exist(made: Path) -> None:
    page = read_page(made)
    named = [(path, names.split(", ") if names else []) for path, names in NAMED.findall(page)]
    assert len(named) > 10
    for path, names in named:
        file = made / path
        assert file.exists(), path
        missing = {*names} - functions_of(file)
        assert not missing, f"{path}: {missing}"


def test_all_names_of_tests_are_checked(made: Path) -> None:
    rest = NAMED.sub("", read_page(made))
    assert not re.findall(r"tests/\S*|\btest_\w+", rest)


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}
