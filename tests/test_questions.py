import builtins
import json
import keyword
import re
import sys
import time
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import copier
import jinja2
import pytest
import yaml

from tests.support.projects import DATABASES, QUESTIONS, ROOT, Project, render, run

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def variables(file: str) -> Any:
    """Return the variables of a Jinja file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
    )
    return environment.get_template(file).module


@pytest.fixture(scope="module")
def updates() -> Any:
    return variables("updates.jinja")


@pytest.fixture(scope="module")
def features() -> Any:
    return variables("features.jinja")


def rendered_folders(project: Path) -> set[str]:
    """Return the folders of a project, except those of modules."""
    folders = {path.relative_to(project).as_posix() for path in project.rglob("*/")}
    return {folder for folder in folders if not folder.startswith("app/modules/")}


def answers(project: Path) -> dict[str, Any]:
    text = (project / ".copier-answers.yml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_every_question_has_a_default(template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "project")
    assert answers(project).items() >= {"database": "postgresql", "modules": ["item"]}.items()
    assert (project / "app/modules/item/models.py").exists()


def test_an_unknown_question_is_rejected(template: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown questions \['databse'\]"):
        render(template, tmp_path / "project", databse="sqlite")


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ("item", "Enter a list such as [item, order]: 'item' is not a list"),
        ({"item": 1}, "is not a list"),
        (3, "'3' is not a list"),
        (None, "'None' is not a list"),
        ([True], "Quote the name: YAML does not parse 'True' as a string"),
        ([["item"]], "Quote the name"),
        ([""], "Use snake_case, such as order_line: '' is not snake_case"),
        (["Item"], "'Item' is not snake_case"),
        (["order-line"], "'order-line' is not snake_case"),
        (["order__line"], "is not snake_case"),
        (["_item"], "is not snake_case"),
        (["item_"], "is not snake_case"),
        (["2fa"], "is not snake_case"),
        (["item\n"], "is not snake_case"),
        (["café"], "is not snake_case"),
        (["../item"], "is not snake_case"),
        (["a" * 21], "Use at most 20 characters: 'aaaaaaaaaaaaaaaaaaaaa' has 21"),
        (["a1", "a01"], "Remove leading zeros from numbers: 'a01' has some"),
        (
            ["class"],
            "Rename 'class': it is a Python keyword or built-in. For example: class_entry.",
        ),
        (["none"], "Rename 'none': it is a Python keyword or built-in"),
        (["page"], "Rename 'page': the generated code already uses this name"),
        (["con"], "Rename 'con': the name is reserved on Windows"),
        (["items"], "Use the singular: 'items' looks like a plural"),
        (["order_lines"], "looks like a plural"),
        (["item", "item"], "Rename 'item': another module has the class Item"),
        (["item2", "item_2"], "Rename 'item_2': another module has the class Item2"),
        (["base", "basis"], "Rename 'basis': another module has the path /bases"),
        (["user", "app_user"], "Rename 'app_user': another module has the table app_user"),
    ],
)
def test_bad_modules_are_rejected_before_anything_is_written(
    template: Path, tmp_path: Path, modules: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        render(template, tmp_path / "project", modules=modules)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"project_name": ""}, "Enter a name, such as My Service: the answer is empty"),
        ({"project_name": "  "}, "the answer is empty"),
        ({"project_name": " Shop"}, "Remove leading and trailing spaces"),
        ({"project_name": "x" * 61}, "Use at most 60 characters"),
        ({"project_name": 'The "Shop"'}, 'Remove ", \\ and control characters'),
        ({"project_name": "Shop\\"}, 'Remove ", \\ and control characters'),
        ({"project_name": "Shop\nShop"}, 'Remove ", \\ and control characters'),
        ({"description": "one\ntwo"}, "Use a single line"),
        ({"description": "x" * 201}, "Use at most 200 characters: the description has 201"),
        ({"database": "oracle"}, "database"),
        ({"model_discovery": "magic"}, "magic"),
        ({"shared_tables": "auth_*"}, "Enter a list such as ['auth_*']: 'auth_*' is not a list"),
        ({"shared_tables": [7]}, "Quote the pattern: YAML does not parse '7' as a string"),
        ({"shared_tables": ["auth user"]}, "Use letters, digits, _ - . * or ?: 'auth user'"),
        ({"shared_tables": ["auth_%"]}, "Use letters, digits, _ - . * or ?: 'auth_%'"),
        ({"shared_tables": [""]}, "Use letters, digits, _ - . * or ?: ''"),
        ({"shared_tables": ["x" * 64]}, "Use at most 63 characters"),
        ({"features": ["job"]}, "Invalid choice for 'features': 'job' is not in ['jobs', 'mail']"),
        ({"features": ["mail"]}, "Add 'jobs', or remove 'mail': mail needs jobs."),
        (
            {"auth": "oauth"},
            "Invalid choice for 'auth': 'oauth' is not in ['none', 'oidc', 'users']",
        ),
        (
            {"auth": "users", "features": ["jobs"]},
            "Add 'jobs' and 'mail' to features, or choose another answer: accounts need mails",
        ),
        (
            {"features": ["jobs"], "modules": ["queued_job"]},
            "Remove 'jobs': its table queued_job is that of the module 'queued_job'.",
        ),
        (
            {"features": ["jobs"], "shared_tables": ["queue*"]},
            "Narrow 'queue*': it matches queued_job, which belongs to this project.",
        ),
        ({"shared_tables": ["auth_*", "*"]}, "Narrow '*': it matches alembic_version"),
        (
            {"shared_tables": ["it??"]},
            "Narrow 'it??': it matches item, which belongs to",
        ),
    ],
)
def test_other_bad_answers_are_rejected_before_anything_is_written(
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
def test_any_project_name_yields_a_distribution_name(
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
    ],
)
def test_a_module_has_a_plural_path(naming: Any, name: str, path: str) -> None:
    assert naming.module_error(name, [], []) == ""
    [module] = yaml.safe_load(naming.module_names([name]))
    assert (module["path"], module["table"]) == (path, name)


@pytest.mark.parametrize(
    ("name", "path", "table"),
    [
        ("user", "/users", "app_user"),
        ("order", "/orders", "app_order"),
        ("group", "/groups", "app_group"),
        ("pg_class", "/pg_classes", "app_pg_class"),
    ],
)
def test_a_reserved_word_changes_the_table_and_not_the_path(
    naming: Any, name: str, path: str, table: str
) -> None:
    assert naming.module_error(name, [], []) == ""
    [module] = yaml.safe_load(naming.module_names([name]))
    assert (module["path"], module["table"]) == (path, table)


def test_singular_words_that_end_like_plurals_are_accepted(naming: Any) -> None:
    words = ["lens", "news", "series", "bus", "alias", "canvas", "class_pass", "basis", "chaos"]
    assert {word: naming.module_error(word, [], []) for word in words} == dict.fromkeys(words, "")


def test_every_python_keyword_and_builtin_is_rejected(naming: Any) -> None:
    """Keywords, and names whose class would shadow a built-in."""
    words = {word.lower() for word in keyword.kwlist}
    for name in (name for name in dir(builtins) if name[0].isupper()):
        word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        if naming.class_name(word) == name:
            words.add(word)
    accepted = {word for word in words if not naming.module_error(word, [], [])}
    assert accepted == set()


@pytest.mark.parametrize("name", DATABASES)
def test_no_project_has_the_name_of_a_distribution_that_it_installs(
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


def test_every_keyword_of_the_server_yields_a_table_name_that_needs_no_quotes(
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


def test_the_command_line_prints_the_reason_for_a_bad_answer_last(
    template: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--data", "modules=[items]"]
    done = run([*command, str(template), "project"], tmp_path, status=1)
    assert done.stdout.rstrip().endswith("Use the singular: 'items' looks like a plural.")
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            "moduls=[a]",
            "Correct 'moduls': there is no such question. Questions: project_na",
        ),
        ("distribution_name=x", "Omit this answer: it is derived from project_name."),
        ("module_names=[1]", "Omit this answer: it is derived from modules."),
        ("new_module_names=[]", "Omit this answer: it is derived from modules."),
        ("rendered_features=[]", "Omit this answer: it is derived from features."),
        ("modules_without_permissions=[]", "Omit this answer: it is derived from auth."),
        ("previous={modules: [item]}", "Omit this answer: it is read from .copier-answers.yml."),
        ("previous=1", "Omit this answer: it is read from .copier-answers.yml."),
    ],
)
def test_an_answer_to_an_unknown_question_is_rejected(
    template: Path, tmp_path: Path, data: str, reason: str
) -> None:
    name, _, value = data.partition("=")
    with pytest.raises(ValueError, match=re.escape(reason)):
        copier.run_copy(
            str(template), tmp_path / "project", data={name: value}, defaults=True, quiet=True
        )
    assert not (tmp_path / "project").exists()


def test_updates_jinja_lists_the_questions_of_copier_yml(updates: Any) -> None:
    questions = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    derived = {name for name, question in questions.items() if name[0] != "_"} - QUESTIONS
    assert set(updates.asked) == QUESTIONS
    assert {*updates.derived, "previous"} == derived


def test_updates_jinja_lists_every_rendered_folder(
    template: Path, tmp_path: Path, updates: Any
) -> None:
    project = render(template, tmp_path / "project")
    assert set(updates.folders) == rendered_folders(project)


def test_features_jinja_lists_the_choices_and_the_folders_of_every_feature(
    template: Path, tmp_path: Path, features: Any
) -> None:
    questions = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    choices = [*questions["features"]["choices"].values()]
    table, of_auth = features.feature_table, features.auth_features
    assert [*of_auth] == [*questions["auth"]["choices"].values()]
    assert [*table] == [*choices, *dict.fromkeys(name for row in of_auth.values() for name in row)]
    without = rendered_folders(render(template, tmp_path / "without"))
    for auth, names in of_auth.items():
        chosen = render(template, tmp_path / auth, features=choices, auth=auth)
        listed = [folder for name in [*choices, *names] for folder in table[name]["folders"]]
        assert sorted(listed) == sorted(rendered_folders(chosen) - without)


def test_a_symbolic_link_in_place_of_a_rendered_folder_is_rejected(
    template: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "elsewhere").mkdir(parents=True)
    (project / "app").symlink_to("elsewhere")
    with pytest.raises(ValueError, match="Replace the symbolic link 'app' with a folder"):
        render(template, project)
    assert not any((project / "elsewhere").iterdir())
    assert [path.name for path in project.iterdir() if path.name != "app"] == ["elsewhere"]


def test_a_file_in_place_of_a_folder_is_rejected_if_its_feature_is_chosen(
    template: Path, tmp_path: Path
) -> None:
    file = tmp_path / "project/app/core/jobs"
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(ValueError, match="Rename the file 'app/core/jobs': the template renders"):
        render(template, tmp_path / "project", features=["jobs"])
    render(template, tmp_path / "project")


@pytest.mark.parametrize("pattern", ["*" * 30 + "a", "*a" * 30 + "b", "*a?" * 20 + "*b"])
def test_a_pattern_with_many_wildcards_is_fast(naming: Any, pattern: str) -> None:
    """With backtracking, each took minutes."""
    started = time.monotonic()
    matched = "matches" in naming.modules_error(["a" * 20], [], [pattern])
    assert matched is (pattern[-1] == "a")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "pattern", ["*", "a*", "*a", "a*b*c", "a?c", "*b*", "**b**", "?*?", "a*b", "*bc*d*", "abc"]
)
def test_a_pattern_matches_as_in_the_project(naming: Any, pattern: str) -> None:
    """The project matches with fnmatch."""
    regex = naming.glob_regex(pattern)
    for table in ("abc", "a", "bcd", "abcd", "xbcyd", "aabbcc", "ac", "b"):
        assert bool(re.search(regex, table)) is fnmatchcase(table, pattern), table


# The prefix that Copier writes before a message.
PROMPT = "Validation error for question '{}': "
TYPICAL: dict[str, list[Any]] = {
    "project_name": ["", " Shop", "x" * 61, 'The "Shop"'],
    "description": ["x" * 201, "one\ntwo"],
    "modules": [
        *("item", [True], ["Item"], ["a" * 21], ["a01"], ["class"], ["page"], ["con"], ["items"]),
        *(["item", "item"], ["item2", "item_2"], ["base", "basis"], ["user", "app_user"]),
    ],
    "features": [["mail"]],
    "shared_tables": ["auth_*", [7], ["auth user"], ["x" * 64], ["*"], ["item*"]],
}


@pytest.mark.parametrize("question", TYPICAL)
def test_a_prompt_shows_the_fix_within_80_columns(naming: Any, question: str) -> None:
    """A prompt truncates the message at the end of the line."""
    ask = getattr(naming, f"{question}_error")
    for answer in TYPICAL[question]:
        message = ask(answer, ["item"]) if question == "shared_tables" else ask(answer)
        advice, colon, reason = message.strip().partition(":")
        assert colon, message
        assert reason, message
        assert len(PROMPT.format(question) + advice) <= 80, message


SQL_TABLE = re.compile(
    r'''(?:\b(?:FROM|INTO|UPDATE|REFERENCES|TABLE(?: IF EXISTS)?) |\b(?:sa\.)?Table\(\s*"'''
    r"""|__tablename__ = "|create_table\(\s*"|ForeignKey\("|to_regclass\(')([a-z]\w*)"""
)


@pytest.mark.parametrize("database_name", DATABASES)
def test_no_table_of_the_tests_can_be_the_table_of_a_module(
    template: Path, tmp_path: Path, naming: Any, database_name: str
) -> None:
    made = render(template, tmp_path / "project", database=database_name, modules=[])
    found = {
        name
        for file in (made / "tests").rglob("*.py")
        for name in SQL_TABLE.findall(file.read_text("utf-8"))
        # A schema of the server, not a table.
        if name != "information_schema"
    }
    assert len(found) > 10
    possible = {
        table
        for table in found
        for module in (table, table.removeprefix("app_"))
        if not naming.module_error(module, [], []) and naming.table_name(module) == table
    }
    assert possible == set(), "rename them to test__…, which is not snake_case"
