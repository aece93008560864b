"""Features that an update switches on or off, from every release and on every database."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.moves import MOVED, stub
from tests.support.projects import Project, run, update
from tests.support.repositories import (
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    commit,
    files,
    in_conflict,
)
from tests.support.team import edit_as_a_team
from tests.updates.test_updates import append, newer_template, substitute

JOBS, BOTH = ["jobs"], ["jobs", "mail"]
CHOICES: dict[str, dict[str, Any]] = {
    "jobs": {"features": JOBS},
    "jobs,mail": {"features": BOTH},
    "oidc": {"auth": "oidc"},
    "users": {"auth": "users", "features": BOTH},
}
MODELS, WORKER = "app/core/jobs/models.py", "app/worker.py"
TABLES = ("job_schedule", "queued_job")
DROPPED_FEATURES = "tools/updates/dropped_features.py"
SETTINGS = "docs/settings.md"


def template_owned(made: Project) -> dict[str, bytes]:
    """Return the files of a project without those that updates never touch."""
    return {name: text for name, text in files(made.path).items() if not USERS_OWN.match(name)}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("version", [*RELEASES, WORKING_TREE])
def test_switching_on_equals_having_chosen_it_from_the_start(
    committed: Callable[..., Project], database: str, version: str, choice: str
) -> None:
    made = committed(version, database=database)
    stubs = {name: stub(name) for name in MOVED.keys() & files(made.path).keys()}
    update(made.path, **CHOICES[choice])
    fresh = committed(name="fresh", database=database, **CHOICES[choice])
    assert template_owned(made) == template_owned(fresh) | stubs


@pytest.mark.parametrize("choice", CHOICES)
def test_switching_on_keeps_the_edits_of_a_team(
    committed: Callable[..., Project], database: str, choice: str
) -> None:
    made = committed(database=database)
    edit_as_a_team(made.path)
    commit(made.path)
    update(made.path, **CHOICES[choice])
    fresh = committed(name="fresh", database=database, **CHOICES[choice])
    edit_as_a_team(fresh.path)
    assert in_conflict(made.path) == set()
    assert template_owned(made) == template_owned(fresh)


@pytest.mark.parametrize("choice", ["jobs,mail", "oidc", "users"])
@pytest.mark.parametrize("version", RELEASES)
def test_switching_on_in_an_edited_project_of_a_release_adds_no_conflict(
    committed: Callable[..., Project], version: str, choice: str
) -> None:
    made, other = (committed(version, name=name) for name in ("project", "other"))
    names = [name for name in files(made.path) if name != ".copier-answers.yml"]
    for project in (made, other):
        for name in names:
            append(project.path, name, f"# mine, {name}\n")
        commit(project.path)
    update(made.path, **CHOICES[choice])
    update(other.path)
    # A section at its end; the page is generated, and `nox -s settings` resolves the conflict.
    assert in_conflict(made.path) - {SETTINGS} == in_conflict(other.path) - {SETTINGS}
    after = files(made.path)
    assert [name for name in names if f"# mine, {name}\n".encode() not in after[name]] == []


def test_switching_on_keeps_files_at_the_paths_of_the_feature(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    (made.path / WORKER).write_text("MINE = 1\n", "utf-8")
    (made.path / "app/core/jobs").mkdir()
    (made.path / "app/core/jobs/mine.py").write_text("MINE = 2\n", "utf-8")
    commit(made.path)
    update(made.path, features=JOBS)
    assert in_conflict(made.path) == {WORKER}
    after = files(made.path)
    assert b"MINE = 1\n" in after[WORKER]
    assert after["app/core/jobs/mine.py"] == b"MINE = 2\n"


def test_a_table_cannot_be_that_of_a_module_and_of_a_feature(
    committed: Callable[..., Project],
) -> None:
    made = committed(features=JOBS)
    with pytest.raises(ValueError, match="Rename 'queued_job': the feature jobs has the table"):
        update(made.path, modules=["item", "queued_job"])
    other = committed(name="other", modules=["queued_job"])
    with pytest.raises(ValueError, match="Remove 'jobs': its table queued_job is that of the mod"):
        update(other.path, features=JOBS)
    shared = committed(name="shared", shared_tables=["queued_*"])
    with pytest.raises(ValueError, match="Narrow 'queued_\\*': it matches queued_job, which"):
        update(shared.path, features=JOBS)


def run_update(made: Project, *options: str, **answers: Any) -> str:
    """Run the command of `nox -s update`; return what it prints."""
    command = [sys.executable, "tools/updates/update.py", *data(answers)]
    return run([*command, *options], made.path).stdout


def run_copier(made: Project, **answers: Any) -> str:
    """Update by Copier alone; return what it prints."""
    command = [sys.executable, "-m", "copier", "update", "--defaults", *data(answers)]
    return run(command, made.path, PYTHONWARNINGS="ignore").stdout


def data(answers: dict[str, Any]) -> list[str]:
    """Return the answers as arguments of Copier."""
    return [word for name in answers for word in ("--data", f"{name}={answers[name]}")]


def check_dropped(made: Project, status: int = 0) -> str:
    """Run the checks of `nox -s lint` after an update; return what they print."""
    run([sys.executable, "tools/updates/lost_lines.py"], made.path)
    command = [sys.executable, DROPPED_FEATURES]
    return run(command, made.path, status=status).stdout


@pytest.mark.parametrize(
    ("how", "before", "after"),
    [
        (run_update, {"features": BOTH}, {"features": []}),
        (run_update, {"features": BOTH}, {"features": JOBS}),
        (run_copier, {"features": BOTH}, {"features": []}),
        (run_update, {"auth": "oidc"}, {"auth": "none"}),
        (run_copier, {"auth": "oidc"}, {"auth": "none"}),
        (run_update, {"auth": "users", "features": BOTH}, {"auth": "none", "features": []}),
        (run_update, {"auth": "users", "features": BOTH}, {"auth": "oidc", "features": JOBS}),
        (run_update, {"features": BOTH}, {"auth": "oidc", "features": []}),
    ],
    ids=["all", "mail", "copier", "oidc", "oidc-copier", "users", "users-oidc", "all-oidc"],
)
def test_switching_off_in_an_unedited_project_equals_never_having_chosen_it(
    committed: Callable[..., Project],
    how: Callable[..., str],
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    made = committed(**before)
    how(made, **after)
    # Code of modules that still requires scopes is reported.
    check_dropped(made, status=int(after.get("auth") == "none"))
    fresh = committed(name="fresh", **after)
    expected = template_owned(fresh)
    if before.get("auth", "none") != after.get("auth", "none"):
        # Needed after a plain `copier update`, and as in other projects after the next update.
        expected[DROPPED_FEATURES] = files(made.path)[DROPPED_FEATURES]
    assert template_owned(made) == expected
    folders = [folder for folder in made.path.rglob("*/") if not any(folder.iterdir())]
    assert [folder for folder in folders if ".git" not in folder.parts] == []


@pytest.mark.parametrize("how", [run_update, run_copier], ids=["nox", "copier"])
def test_switching_off_keeps_edited_files_and_names_what_uses_the_feature(
    committed: Callable[..., Project], how: Callable[..., str]
) -> None:
    made = committed(features=JOBS)
    append(made.path, MODELS, "# mine\n")
    uses = {
        "app/modules/item/service.py": ("from app.core import jobs\n", "app/core/jobs/__init__.py"),
        "compose.yaml": ("# command: python -m app.worker\n", WORKER),
        "docs/lists.md": ("See [jobs](jobs.md).\n", "docs/jobs.md"),
    }
    for name, (line, _) in uses.items():
        append(made.path, name, line)
    # Other line endings are no edit.
    (made.path / WORKER).write_bytes((made.path / WORKER).read_bytes().replace(b"\n", b"\r\n"))
    commit(made.path)
    before = files(made.path)
    printed = how(made, features=[]) + made.run("nox", "-s", "lint", status=1).stdout
    after = files(made.path)
    assert f"\n{MODELS}: file of a dropped feature, kept because you edited it\n" in printed
    for name, (line, used) in uses.items():
        number = after[name].splitlines().index(line.strip().encode()) + 1
        assert f"\n{name}:{number}: uses {used} of a dropped feature\n" in printed
    assert "This update drops the features that these lines use: change them, or" in printed
    assert after[MODELS] == before[MODELS]
    assert {name for name in after if re.search("jobs|worker", name)} == {MODELS}
    # A mention in a document is no error.
    for name in ("app/modules/item/service.py", "compose.yaml"):
        substitute(made.path, name, uses[name][0], "")
    assert "docs/lists.md:" in check_dropped(made)


def test_files_that_stayed_are_left_alone_until_the_feature_is_chosen_again(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed(features=JOBS)
    template = newer_template(repository, tmp_path, made)
    append(made.path, MODELS, "# mine\n")
    commit(made.path)
    run_update(made, features=[])
    commit(made.path)
    kept = files(made.path)[MODELS]
    [models] = template.glob("template/app/core/*jobs*/models.py")
    models.write_text("# theirs\n" + models.read_text("utf-8"), "utf-8")
    commit(template, "v10000.0.0")
    update(made.path)
    assert files(made.path)[MODELS] == kept
    commit(made.path)
    update(made.path, features=JOBS)
    assert in_conflict(made.path) == {MODELS}
    after = files(made.path)
    assert b"# mine\n" in after[MODELS]
    fresh = files(committed(name="fresh", features=JOBS).path)
    assert {name for name in after if "jobs" in name} == {name for name in fresh if "jobs" in name}


@pytest.mark.long
def test_the_user_generates_the_revisions_of_a_feature(
    committed: Callable[..., Project], database: str
) -> None:
    made = committed(database=database)
    counts = [f"SELECT count(*) FROM {table}" for table in TABLES]
    with made.server() as url:

        def generate(message: str) -> str:
            command = f'alembic revision --autogenerate -m "{message}"'
            made.run(*shlex.split(command), DATABASE_URL=url)
            made.run("alembic", "upgrade", "head", DATABASE_URL=url)
            made.run("alembic", "check", DATABASE_URL=url)
            commit(made.path)
            return command

        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        printed = run_update(made, features=JOBS, modules=["item", "price"])
        assert generate("add price, jobs") in printed
        made.python("-m", "pytest", "tests/test_migrations.py")
        made.sql(url, *counts)
        printed = " ".join(run_update(made, features=[]).split())
        assert "drops the tables job_schedule and queued_job, with the jobs that still" in printed
        # Nothing drops a table by itself.
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        made.sql(url, *counts)
        assert generate("remove jobs") in printed
        [revision] = (made.path / "alembic/versions").glob("*_remove_jobs.py")
        assert f'drop_table("{TABLES[1]}")' in revision.read_text("utf-8")


def names_of(made: dict[str, bytes], others: dict[str, bytes]) -> set[str]:
    """Return what a project names that another one lacks: files, dependencies and settings."""
    paths = {path.removesuffix("/__init__.py") for path in made.keys() - others.keys()}
    modules = {path.removesuffix(".py").replace("/", ".") for path in paths}
    dependencies, settings = (
        {
            name
            for name in re.findall(pattern, made[file], re.MULTILINE)
            if name not in re.findall(pattern, others[file], re.MULTILINE)
        }
        for file, pattern in (
            ("pyproject.toml", rb'^    "([a-z][\w-]+)[^"]*>='),
            (".env.example", rb"^#? ?([A-Z_]+)="),
        )
    )
    return paths | modules | {name.decode() for name in dependencies | settings} | {*TABLES}


@pytest.mark.parametrize("auth", ["oidc", "users"])
@pytest.mark.parametrize("features", [[], JOBS], ids=["none", "jobs"])
def test_a_project_has_no_trace_of_other_features(
    committed: Callable[..., Project], database: str, features: list[str], auth: str
) -> None:
    made = files(committed(database=database, features=features).path)
    complete = committed(name="complete", database=database, features=BOTH, auth=auth)
    names = names_of(files(complete.path), made) - ({*TABLES} if features else set())
    assert {"app/core/mail", "app.core.mail", "docs/mail.md", "app/core/auth"} <= names
    # Examples in docs/testing.md and docs/bearer_tokens.md.
    names -= {"MAIL_HOST", "tests/modules/conftest.py", "tests.modules.conftest"}
    for file, text in made.items():
        assert {name for name in names if name.encode() in text} == set(), file


def test_a_module_is_added_while_a_feature_is_dropped(committed: Callable[..., Project]) -> None:
    made = committed(features=JOBS)
    run_update(made, features=[], modules=["item", "price"])
    assert not (made.path / WORKER).exists()
    fresh = committed(name="fresh", modules=["item", "price"])
    assert template_owned(made) == template_owned(fresh)
    assert (made.path / "app/modules/price/router.py").exists()


def test_switching_authentication_on_adds_only_permissions_to_modules(
    committed: Callable[..., Project],
) -> None:
    made = committed(modules=["item", "price"])
    before = files(made.path)
    printed = run_update(made, auth="oidc", modules=["item", "price", "order"])
    assert "Your modules are still public" in printed
    after = files(made.path)
    modules = {name for name in after.keys() - before.keys() if name.startswith("app/modules/")}
    assert {name for name in modules if "/order/" not in name} == {
        "app/modules/item/permissions.py",
        "app/modules/price/permissions.py",
    }
    assert {
        name for name in before if USERS_OWN.match(name) and after[name] != before[name]
    } == set()
    assert 'READ = "item:read"' in after["app/modules/item/permissions.py"].decode()
    commit(made.path)
    # They are the user's from then on.
    append(made.path, "app/modules/item/permissions.py", 'PRINT = "item:print"\n')
    (made.path / "app/modules/price/permissions.py").unlink()
    commit(made.path)
    kept = files(made.path)
    run_update(made, features=JOBS)
    assert {name: files(made.path).get(name) for name in kept if USERS_OWN.match(name)} == {
        name: kept[name] for name in kept if USERS_OWN.match(name)
    }


@pytest.mark.parametrize("auth", ["none", "oidc"])
def test_accounts_can_be_switched_on_and_off(committed: Callable[..., Project], auth: str) -> None:
    made = committed(features=["jobs", "mail"], auth=auth)
    printed = run_update(made, auth="users")
    assert "Accounts need USERS_LINK_URL and the MAIL_ variables of .env.example" in printed
    assert "app.manage_users create-administrator" in printed
    made.python("-m", "pytest", "-q", "tests/core/users/test_development.py")
    if auth == "oidc":
        # Tests of modules are those of before; no revision of the tables is generated yet.
        made.run("nox", "-s", "initial")
        made.python("-m", "pytest", "-q", "tests/modules")
        made.run("git", "checkout", "alembic")
    commit(made.path)
    printed = run_update(made, auth="none")
    assert "user_token and user_totp, with all accounts" in printed
    if auth == "none":
        assert "of a dropped feature" not in made.run("nox", "-s", "lint").stdout


def test_a_module_that_is_public_after_switching_on_fails_a_test_with_the_line_to_add(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    run_update(made, auth="oidc")
    command = ["-m", "pytest", "-q", "tests/test_public_operations.py"]
    printed = made.python(*command, status=1).stdout
    assert '"GET /api/v1/items",' in printed
    assert "in app.modules.item.router: add `dependencies=[require(" in printed
    fresh = committed(name="fresh", auth="oidc")
    for name in ("app/modules/item/router.py", "tests/modules/test_item.py"):
        (made.path / name).write_bytes((fresh.path / name).read_bytes())
    made.python(*command)
