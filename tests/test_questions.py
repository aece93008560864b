import builtins
import json
import keyword
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.projects import DATABASES, ROOT, Project, render, run

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@pytest.fixture(scope="module")
def naming() -> Any:
    """The macros of naming.jinja, in an environment like Copier's."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("naming.jinja").module


def answers(project: Path) -> dict[str, Any]:
    text = (project / ".copier-answers.yml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_the_defaults_are_answers(template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "project")
    assert answers(project).items() >= {"database": "postgresql", "modules": ["item"]}.items()
    assert (project / "app/modules/item/models.py").exists()


def test_a_misspelt_question_is_an_error(template: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\['databse'\] is no question"):
        render(template, tmp_path / "project", databse="sqlite")


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ("item", "'item' is not a list"),
        ({"item": 1}, "is not a list"),
        (3, "'3' is not a list"),
        (None, "'None' is not a list"),
        ([True], "'True' is not text to YAML"),
        ([["item"]], "is not text to YAML"),
        ([""], "'' is not snake_case"),
        (["Item"], "'Item' is not snake_case"),
        (["order-line"], "'order-line' is not snake_case"),
        (["order__line"], "is not snake_case"),
        (["_item"], "is not snake_case"),
        (["item_"], "is not snake_case"),
        (["2fa"], "is not snake_case"),
        (["item\n"], "is not snake_case"),
        (["café"], "is not snake_case"),
        (["../item"], "is not snake_case"),
        (["a" * 21], "has 21 characters; use at most 20"),
        (["class"], "means something to Python"),
        (["none"], "means something to Python"),
        (["page"], "is taken by the code that every module uses"),
        (["con"], "is a device, not a folder, on Windows"),
        (["items"], "looks like a plural"),
        (["order_lines"], "looks like a plural"),
        (["item", "item"], "which another module has"),
        (["item2", "item_2"], "gives the class name Item2, which another module has"),
        (["base", "basis"], "gives the path /bases, which another module has"),
        (["user", "app_user"], "gives the table name app_user, which another module has"),
    ],
)
def test_bad_modules_are_refused_and_nothing_is_written(
    template: Path, tmp_path: Path, modules: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        render(template, tmp_path / "project", modules=modules)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"project_name": ""}, "is empty"),
        ({"project_name": "  "}, "is empty"),
        ({"project_name": " Shop"}, "begins or ends with a space"),
        ({"project_name": "x" * 61}, "has 61 characters; use at most 60"),
        ({"project_name": 'The "Shop"'}, "holds a double quote"),
        ({"project_name": "Shop\\"}, "a backslash"),
        ({"project_name": "Shop\nShop"}, "a control character"),
        ({"description": "one\ntwo"}, "holds a line break"),
        ({"description": "x" * 201}, "has 201 characters; use at most 200"),
        ({"database": "oracle"}, "database"),
        ({"model_discovery": "magic"}, "magic"),
        ({"shared_tables": "auth_*"}, "is not a list; write one in YAML"),
        ({"shared_tables": [7]}, "is not text to YAML"),
        ({"shared_tables": ["auth user"]}, "'auth user' is no pattern"),
        ({"shared_tables": ["auth_%"]}, "'auth_%' is no pattern"),
        (
            {"shared_tables": ["auth_*", "*"]},
            "'*' matches alembic_version, a table of this project",
        ),
        ({"shared_tables": ["it??"]}, "'it??' matches item, a table of this project's own"),
    ],
)
def test_other_bad_answers_are_refused_and_nothing_is_written(
    template: Path, tmp_path: Path, answer: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        render(template, tmp_path / "project", **answer)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("project_name", "distribution"),
    [
        ("My Shop", "my-shop"),
        ("shop.api_v2 - beta", "shop-api-v2-beta"),
        ("Café Déjà Vu", "cafe-deja-vu"),
        ("Cafe\u0301", "cafe"),
        ("Łódź Straße Ærø", "lodz-strasse-aero"),
        ("  ".join("AB"), "a-b"),
        ("'Quoted'", "quoted"),
        ("FastAPI", "fastapi-service"),
        ("プロジェクト", "service"),
        ("😀 {{ shop }}", "shop"),
    ],
)
def test_any_project_name_gives_a_distribution_name(
    template: Path, tmp_path: Path, project_name: str, distribution: str
) -> None:
    description = 'It says "yes" to C:\\Users, ünïcödé, 😀 and {{ braces }}.'
    project = render(
        template, tmp_path / "project", project_name=project_name, description=description
    )
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert metadata["name"] == distribution
    assert metadata["description"] == description
    assert f'title="{project_name}"' in (project / "app/main.py").read_text("utf-8")
    assert f"# {project_name}\n\n{description}" in (project / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("item", "/items"),
        ("category", "/categories"),
        ("day", "/days"),
        ("box", "/boxes"),
        ("branch", "/branches"),
        ("address", "/addresses"),
        ("status", "/statuses"),
        ("analysis", "/analyses"),
        ("quiz", "/quizzes"),
        ("sales_person", "/sales_people"),
        ("user", "/app_users"),
        ("order", "/app_orders"),
        ("group", "/app_groups"),
        ("pg_class", "/app_pg_classes"),
    ],
)
def test_a_module_has_a_plural_path_and_a_safe_table(naming: Any, name: str, path: str) -> None:
    assert naming.module_error(name, [], []) == ""
    [module] = yaml.safe_load(naming.module_names([name]))
    assert module["path"] == path
    assert module["table"] == ("app_" if path.startswith("/app_") else "") + name


def test_singular_words_that_end_like_plurals_are_accepted(naming: Any) -> None:
    words = ["lens", "news", "series", "bus", "alias", "canvas", "class_pass", "basis", "chaos"]
    assert {word: naming.module_error(word, [], []) for word in words} == dict.fromkeys(words, "")


def test_every_word_of_python_is_refused(naming: Any) -> None:
    """Keywords, and names whose class would hide a built-in one."""
    words = {word.lower() for word in keyword.kwlist}
    for name in (name for name in dir(builtins) if name[0].isupper()):
        word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        if naming.class_name(word) == name:
            words.add(word)
    accepted = {word for word in words if not naming.module_error(word, [], [])}
    assert accepted == set()


@pytest.mark.parametrize("name", DATABASES)
def test_no_project_is_called_like_what_it_installs(
    environment: Callable[[str], Path], naming: Any, name: str
) -> None:
    listed = run(
        ["uv", "pip", "list", "--quiet", "--format", "json", "-p", str(environment(name))], ROOT
    )
    installed = [package["name"] for package in json.loads(listed.stdout)]
    assert len(installed) > 40
    assert [name for name in installed if naming.distribution_name(name) == name] == []


WORDS = """
import asyncio, os
from sqlalchemy import text
from sqlalchemy.dialects.mysql import reserved_words
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS
from sqlalchemy.dialects.sqlite.base import SQLiteIdentifierPreparer
from app.core import dialect

ASK = {
    "postgresql": "SELECT word FROM pg_get_keywords()",
    "mysql": "SELECT lower(word) FROM information_schema.keywords WHERE word REGEXP '^[A-Z]'",
    "sqlite": "SELECT 'item'",
}

async def main():
    engine = dialect.create_engine(dialect.parse_url(os.environ["DATABASE_URL"]))
    async with engine.connect() as connection:
        statement = ASK[connection.dialect.name.replace("mariadb", "mysql")]
        words = set(await connection.scalars(text(statement)))
    await engine.dispose()
    words |= RESERVED_WORDS | SQLiteIdentifierPreparer.reserved_words
    words |= reserved_words.RESERVED_WORDS_MARIADB | reserved_words.RESERVED_WORDS_MYSQL
    print("WORDS", *sorted(words))

asyncio.run(main())
"""

TABLES = """
import asyncio, os, sys
from sqlalchemy import text
from app.core import dialect

async def main():
    engine = dialect.create_engine(dialect.parse_url(os.environ["DATABASE_URL"]))
    refused = []
    for name in sys.argv[1:]:
        try:
            async with engine.begin() as connection:
                await connection.execute(text(f"CREATE TABLE {name} (id INTEGER)"))
        except Exception:
            refused.append(name)
    await engine.dispose()
    print("REFUSED", *refused)

asyncio.run(main())
"""


def test_every_word_of_the_server_gets_a_table_that_needs_no_quotes(
    project: Callable[..., Project], database: str, naming: Any
) -> None:
    made = project(database)
    printed = made.with_server(["python", "-c", WORDS])
    words = printed.partition("WORDS ")[2].split()
    names = [w for w in words if SNAKE_CASE.fullmatch(w) and not naming.module_error(w, [], [])]
    assert len(names) > 200
    tables = sorted({naming.table_name(name) for name in names})
    printed = made.with_server(["python", "-c", TABLES, *tables])
    assert printed.partition("REFUSED")[2].split() == []


def test_bad_answers_on_the_command_line_end_with_the_reason(
    template: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--data", "modules=[items]"]
    done = run([*command, str(template), "project"], tmp_path, status=1)
    assert done.stdout.rstrip().endswith(
        "'items' looks like a plural; a module is named by its singular."
    )
    assert not (tmp_path / "project").exists()
