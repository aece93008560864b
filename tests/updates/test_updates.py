"""Updates of edited projects: answers, conflicts, line endings, monorepos, interruption."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from tests.support.checks import TESTS_OF_MODELS
from tests.support.projects import (
    DATABASES,
    QUESTIONS,
    Project,
    clean_environment,
    render,
    run,
    update,
)
from tests.support.repositories import (
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    commit,
    files,
    git,
    in_conflict,
    unlike,
)

ANSWERS = ".copier-answers.yml"
DROPPED_FEATURES = "tools/updates/dropped_features.py"
ABORT = "git restore --source=HEAD --staged --worktree . && git clean -d --force ."


def status(project: Path) -> set[str]:
    """Return `git status` of a project, one entry per file."""
    printed = git(project, "status", "--porcelain", "--untracked-files=all")
    return {line[:2].strip() + line[2:] for line in printed.splitlines()}


def changed(project: Path, expected: dict[str, bytes]) -> set[str]:
    """Return the files that differ from `expected`, except user-owned ones."""
    return {name for name in unlike(files(project), expected) if not USERS_OWN.match(name)}


def append(project: Path, file: str, text: str) -> None:
    path = project / file
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def substitute(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    text = path.read_text("utf-8")
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def make_module_by_hand(project: Path) -> None:
    """Add a module `zebra`, copied from `item`, and register it."""
    pairs = [("app/modules/item", "app/modules/zebra")]
    shutil.copytree(project / pairs[0][0], project / pairs[0][1])
    shutil.copy(project / "tests/modules/test_item.py", project / "tests/modules/test_zebra.py")
    made = [*(project / "app/modules/zebra").glob("*.py"), project / "tests/modules/test_zebra.py"]
    for file in made:
        text = file.read_text("utf-8").replace("item", "zebra").replace("Item", "Zebra")
        file.write_text(text.replace('["zebras"]', '["items"]'), "utf-8")
    models = "from app.modules.zebra import models as zebra_models  # noqa: F401\n"
    router = "from app.modules.zebra.router import router as zebra_router\n"
    substitute(project, "alembic/env.py", "# isort: split\n", f"# isort: split\n{models}")
    substitute(project, "app/main.py", "# isort: split\n", f"# isort: split\n{router}")
    place = "    # Include routers of your own modules below; updates add lines above.\n"
    lines = f"{place}    app.include_router(zebra_router)\n"
    substitute(project, "app/main.py", place, lines)


ADDED = {
    *(
        f"?? app/modules/price/{name}.py"
        for name in ("__init__", "models", "repository", "router", "schemas", "service")
    ),
    "?? tests/modules/test_price.py",
    "M .copier-answers.yml",
    "M alembic/env.py",
    "M app/main.py",
}


@pytest.mark.long
def test_a_module_is_added_to_an_edited_project(
    committed: Callable[..., Project], database: str
) -> None:
    """Its lines come directly before those of a module added by hand."""
    made = committed(database=database)
    make_module_by_hand(made.path)
    append(made.path, "app/modules/item/models.py", "    colour: Mapped[str | None]\n")
    append(made.path, "alembic/env.py", "\n# mine\n")
    substitute(
        made.path, "app/main.py", "    return app\n", "    app.debug = True\n    return app\n"
    )
    with made.server() as url:

        def alembic(*arguments: str) -> str:
            return made.run("alembic", *arguments, DATABASE_URL=url).stdout

        alembic("upgrade", "head")
        alembic("revision", "--autogenerate", "-m", "add colour and zebra")
        alembic("upgrade", "head")
        commit(made.path)
        before = files(made.path)

        update(made.path, modules=["item", "price"])

        assert status(made.path) == ADDED
        for file in ("alembic/env.py", "app/main.py"):
            removed = {*before[file].splitlines()} - {*files(made.path)[file].splitlines()}
            assert not removed, file
        alembic("revision", "--autogenerate", "-m", "add price")
        [revision] = (made.path / "alembic/versions").glob("*_add_price.py")
        text = revision.read_text("utf-8")
        assert re.findall(r"op\.create_table\(\s*\"(\w+)\"", text) == ["price"]
        assert "op.drop" not in text.partition("def downgrade")[0]
        alembic("upgrade", "head")
        alembic("check")
    made.run("ruff", "check")
    made.run("ruff", "format", "--check")
    made.run("lint-imports")
    made.python("-m", "tools.openapi")
    # The update touches no file of the core: see ADDED.
    tests = ["tests"] if database == "sqlite" else TESTS_OF_MODELS
    assert " skipped" not in made.python("-m", "pytest", *tests).stdout


# For each question, an answer that it can be changed to, and back.
LATER: dict[str, dict[str, Any]] = {
    "project_name": {"project_name": "Café à la carte"},
    "description": {"description": 'Says "hello" \\ more'},
    "modules": {"modules": ["price", "item", "zebra"]},
    "features": {"features": ["jobs", "mail"]},
    "auth": {"auth": "oidc"},
    "model_discovery": {"model_discovery": "scan"},
    "shared_tables": {"shared_tables": ["auth_*", "django_session"]},
}


def test_every_question_can_be_answered_later_or_is_rejected() -> None:
    assert {*LATER, "database"} == QUESTIONS


@pytest.mark.long
@pytest.mark.parametrize("question", LATER)
def test_an_answer_is_changed_later_and_back(
    committed: Callable[..., Project], question: str
) -> None:
    made = committed()
    append(made.path, "app/core/health.py", "\n# mine\n")
    commit(made.path)
    before = files(made.path)
    expected = files(committed(name="fresh", **LATER[question]).path)

    update(made.path, **LATER[question])

    made.python("-m", "tools.openapi")
    assert changed(made.path, expected) == {"app/core/health.py"}
    made.python("tools/updates/conflicts.py")
    if question == "model_discovery":
        made.python("-m", "pytest", "tests")
    commit(made.path)
    update(made.path, **{question: yaml.safe_load(before[ANSWERS])[question]})
    run([sys.executable, DROPPED_FEATURES], made.path)
    made.python("-m", "tools.openapi")
    # Without authentication, the tool is that of other projects from the next update on.
    assert changed(made.path, before) <= {DROPPED_FEATURES}


def test_switching_to_scan_conflicts_at_most_at_imports_added_by_hand(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    make_module_by_hand(made.path)
    commit(made.path)
    update(made.path, model_discovery="scan")
    assert in_conflict(made.path) <= {"alembic/env.py"}
    fresh = committed(name="fresh", model_discovery="scan")
    shutil.copy(fresh.path / "alembic/env.py", made.path / "alembic/env.py")
    sql = made.run("alembic", "upgrade", "head", "--sql", DATABASE_URL="sqlite:///unused.db").stdout
    assert "Found 2 models in 2 modules" in sql


@pytest.mark.parametrize(("one", "other"), list(permutations(DATABASES, 2)))
def test_changing_the_database_is_rejected(
    repository: Path, tmp_path: Path, one: str, other: str
) -> None:
    project = render(repository, tmp_path / "project", version=WORKING_TREE, database=one)
    git(project, "init", "--quiet")
    commit(project)
    for again in (copier.run_update, copier.run_recopy):
        with pytest.raises(
            ValueError, match=f"Keep {one}: .* revisions are written for {one}, and {other} canno"
        ):
            again(project, data={"database": other}, defaults=True, overwrite=True, quiet=True)
    assert status(project) == set()


def test_a_new_module_that_matches_a_shared_table_is_rejected(
    committed: Callable[..., Project],
) -> None:
    """Copier would silently replace the pattern, which is invalid then, with the default."""
    made = committed(shared_tables=["auth_*"])
    with pytest.raises(ValueError, match="'auth_token': its table auth_token matches 'auth_\\*'"):
        update(made.path, modules=["item", "auth_token"])
    assert status(made.path) == set()
    update(made.path, modules=["item", "auth_token"], shared_tables=["auth_u*"])
    assert yaml.safe_load((made.path / ANSWERS).read_text())["shared_tables"] == ["auth_u*"]


def test_accepted_answers_stay_valid_when_rules_become_stricter(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed(
        modules=["item", "user"],
        shared_tables=["auth_*"],
        project_name="Old 😀 Name",
        description="old",
    )
    stricter = newer_template(repository, tmp_path, made)
    substitute(stricter, "naming.jinja", "stored_row string", "stored_row string user")
    substitute(stricter, "naming.jinja", "{% if pattern is not string -%}", "{% if true -%}")
    substitute(stricter, "naming.jinja", "project_name | length > 60", "project_name | length > 6")
    substitute(stricter, "naming.jinja", "description | length > 200", "description | length > 2")
    commit(stricter, "v10000.0.0")
    update(made.path, modules=["item", "user", "price"])
    answers = yaml.safe_load((made.path / ANSWERS).read_text("utf-8"))
    assert answers["modules"] == ["item", "user", "price"]
    assert answers["shared_tables"] == ["auth_*"]
    assert answers["project_name"] == "Old 😀 Name"
    assert answers["description"] == "old"
    commit(made.path)
    with pytest.raises(ValueError, match="Rename 'item': another module has the class Item"):
        update(made.path, modules=["item", "item"])


def newer_template(repository: Path, folder: Path, made: Project) -> Path:
    """Clone the template to another address, and point a project at it."""
    moved = folder / "moved template"
    git(folder, "clone", "--quiet", str(repository), str(moved))
    substitute(made.path, ANSWERS, str(repository), str(moved))
    commit(made.path)
    return moved


@pytest.mark.parametrize("version", ["0.2.0", WORKING_TREE])
def test_a_module_is_added_without_an_update(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, version: str
) -> None:
    """With --vcs-ref=:current:, although the template has a newer version."""
    made = committed(version)
    newer = newer_template(repository, tmp_path, made)
    append(newer, "template/.dockerignore", "!more\n")
    substitute(newer, "template/app/core/health.py", '"""', '"""Theirs. ')
    commit(newer, "v10000.0.0")
    data = ("--data", "modules=[item, price]")
    copier_run(made, "update", "--defaults", "--vcs-ref=:current:", *data)
    # Up to 0.2.0 the README listed the modules.
    assert status(made.path) == ADDED | ({"M README.md"} if version == "0.2.0" else set())
    assert yaml.safe_load((made.path / ANSWERS).read_text())["_commit"] == f"v{version}"


def copier_run(made: Project, *arguments: str, status: int = 0, **variables: str) -> str:
    """Run Copier in a project; return its output."""
    variables["PYTHONWARNINGS"] = "ignore"
    return run([*COPIER, *arguments], made.path, status=status, **variables).stdout


def test_a_project_of_a_commit_between_releases_follows_head_until_the_next_release(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    """As rendered by `copier copy --vcs-ref HEAD`; messages explain it."""
    made = committed()
    template = newer_template(repository, tmp_path, made)
    append(template, "template/.dockerignore", "!first\n")
    commit(template)
    hint = "uv run nox -s update -- --vcs-ref HEAD"
    assert hint in made.run(*hint.split()[2:]).stdout
    assert status(made.path) == {"M .copier-answers.yml", "M .dockerignore"}
    commit(made.path)

    printed = copier_run(made, "update", "--defaults", status=1)
    assert "You are downgrading from 9999.0.0.post1.dev0" in printed
    printed = made.run("nox", "-s", "template").stdout
    assert re.search(
        r"follows 9999\.0\.0\.post1\S+, a commit after .* release 9999\.0\.0\.", printed
    )
    assert hint in printed

    append(template, "template/.dockerignore", "!second\n")
    commit(template, "v10000.0.0")
    assert hint not in copier_run(made, "update", "--defaults")
    assert (made.path / ".dockerignore").read_text("utf-8").endswith("!first\n!second\n")


def test_a_symbolic_link_in_place_of_a_rendered_folder_is_rejected(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    (made.path / "app").rename(made.path / "code")
    (made.path / "app").symlink_to("code")
    commit(made.path)
    with pytest.raises(ValueError, match="Replace the symbolic link 'app' with a folder"):
        update(made.path, modules=["item", "price"])
    assert status(made.path) == set()


def test_the_template_moves_to_another_address(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    moved = newer_template(repository, tmp_path, made)
    append(moved, "template/.dockerignore", "!more\n")
    commit(moved, "v10000.0.0")
    update(made.path)
    assert status(made.path) == {"M .copier-answers.yml", "M .dockerignore"}
    answers = yaml.safe_load((made.path / ANSWERS).read_text("utf-8"))
    assert answers["_src_path"] == str(moved)


def test_answers_edited_by_hand_are_rejected(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    substitute(made.path, ANSWERS, "- item\n", "- item\n- price\n")
    commit(made.path)
    for again in (copier.run_update, copier.run_recopy):
        with pytest.raises(Exception, match=r"\.copier-answers\.yml was edited by hand.*--data"):
            again(made.path, defaults=True, overwrite=True, quiet=True)
    assert status(made.path) == set()
    # As after a merge of two branches, with the module.
    path = made.path / ANSWERS
    path.write_text(re.sub(r"_checksum: .*\n", "", path.read_text("utf-8")), "utf-8")
    commit(made.path)
    update(made.path)
    assert "_checksum: " in path.read_text("utf-8")


def test_a_deleted_module_stays_deleted(committed: Callable[..., Project]) -> None:
    made = committed(modules=["item", "user"])
    shutil.rmtree(made.path / "app/modules/user")
    (made.path / "tests/modules/test_user.py").unlink()
    commit(made.path)
    update(made.path, modules=["item", "user", "price"])
    assert status(made.path) == ADDED


def test_naming_a_module_added_by_hand_only_registers_it(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    make_module_by_hand(made.path)
    git(made.path, "checkout", "--quiet", "--", "alembic/env.py", "app/main.py")
    append(made.path, "app/modules/zebra/service.py", "\n# mine\n")
    commit(made.path)
    update(made.path, modules=["item", "zebra"])
    assert status(made.path) == {"M .copier-answers.yml", "M alembic/env.py", "M app/main.py"}
    expected = files(committed(name="fresh", modules=["item", "zebra"]).path)
    assert changed(made.path, expected) == set()


@pytest.mark.parametrize("version", RELEASES)
def test_imports_next_to_those_of_an_older_version_conflict(
    committed: Callable[..., Project], version: str
) -> None:
    """Before there was a place for the imports of modules added by hand."""
    made = committed(version)
    models = "from app.modules.zebra import models as zebra_models  # noqa: F401\n"
    rendered = models.replace("zebra", "item")
    substitute(made.path, "alembic/env.py", rendered, rendered + models)
    append(made.path, "app/main.py", "# mine\n")
    commit(made.path)
    update(made.path, modules=["item", "price"])
    assert models in (made.path / "alembic/env.py").read_text("utf-8")
    printed = made.python("tools/updates/conflicts.py", status=1).stdout
    assert in_conflict(made.path) == {"alembic/env.py"}
    assert "alembic/env.py:" in printed


def test_git_settings_of_the_user_do_not_lose_edits(committed: Callable[..., Project]) -> None:
    """Those that the project's own .gitattributes and .gitignore override."""
    made = committed()
    append(made.path, ".env.example", "MINE=1\n")
    append(made.path, "app/core/health.py", "\n# mine\n")
    append(made.path, "pyproject.toml", "\n[tool.mine]\n")
    (made.path / "notes.md").write_text("Two spaces make a line break  \nhere.\n")
    commit(made.path)
    config = made.path.parent / "gitconfig"
    ignored = made.path.parent / "ignored"
    attributes = made.path.parent / "attributes"
    config.write_text(
        f"[core]\nexcludesFile = {ignored}\nattributesFile = {attributes}\n"
        "[apply]\nwhitespace = error-all\n"
    )
    ignored.write_text(".env*\n")
    attributes.write_text("*.py binary\n*.toml -diff\n")
    data = ("--data", "modules=[item, price]")
    copier_run(made, "update", "--defaults", *data, GIT_CONFIG_GLOBAL=str(config))
    assert status(made.path) == ADDED


@pytest.mark.parametrize("where", ["top", "subfolder"])
def test_conflicts_are_reported_and_an_update_can_be_aborted(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, where: str
) -> None:
    made = committed()
    newer = newer_template(repository, tmp_path, made)
    if where == "subfolder":
        made = into_monorepo(made, "services/shop")
    first = (made.path / "app/core/health.py").read_text("utf-8").splitlines(keepends=True)[0]
    substitute(made.path, "app/core/health.py", first, "# mine\n")
    commit(made.path)
    substitute(newer, "template/app/core/health.py", first, "# theirs\n")
    append(newer, "template/tests/conftest.py.jinja", "# theirs\n")
    commit(newer, "v10000.0.0")
    before = files(made.path)
    update(made.path)
    [file] = in_conflict(made.path)
    assert file.endswith("app/core/health.py")
    text = (made.path / "app/core/health.py").read_text("utf-8")
    assert "# mine\n" in text
    assert "# theirs\n" in text
    assert "# theirs\n" in (made.path / "tests/conftest.py").read_text("utf-8")
    printed = made.run("nox", "-s", "lint", status=1).stdout
    assert "app/core/health.py:1: <<<<<<< before updating" in printed
    if where == "top":
        # The pre-commit hook rejects it as well.
        git(made.path, "add", "--all")
        hook = ("pre-commit", "run", "update-conflicts")
        assert "health.py:1: <<<<<<< before updating" in made.run(*hook, status=1).stdout
    run(["sh", "-c", ABORT], made.path)
    assert files(made.path) == before
    assert status(made.path) == set()
    # The same with --conflict rej.
    copier.run_update(made.path, defaults=True, overwrite=True, quiet=True, conflict="rej")
    printed = made.python("tools/updates/conflicts.py", status=1).stdout
    assert "health.py.rej: edits that the update could not apply to health.py" in printed


def into_monorepo(made: Project, folder: str, exclude: str = "") -> Project:
    """Move a project into a larger repository, which has other files and may exclude some."""
    top = made.path.parent / "monorepo"
    top.mkdir(exist_ok=True)
    if not (top / ".git").exists():
        git(top, "init", "--quiet")
        (top / "README.md").write_text("The whole.\n", "utf-8")
        (top / "logo.png").write_bytes(bytes(range(256)))
    append(top, ".git/info/exclude", exclude)
    shutil.rmtree(made.path / ".git")
    (top / folder).parent.mkdir(exist_ok=True)
    shutil.move(made.path, top / folder)
    commit(top)
    return replace(made, path=top / folder)


def test_two_projects_in_one_repository_are_updated_separately(
    committed: Callable[..., Project],
) -> None:
    shop = into_monorepo(committed("0.2.0", "shop"), "services/shop")
    bank = into_monorepo(committed("0.2.0", "bank"), "services/bank")
    for made in (shop, bank):
        append(made.path, "app/core/health.py", "\n# mine\n")
    commit(bank.path)
    top = bank.path.parents[1]
    for made in (shop, bank):
        before = files(top)
        update(made.path, modules=["item", "price"])
        touched = unlike(files(top), before)
        assert touched
        assert {name for name in touched if not (top / name).is_relative_to(made.path)} == set()
        commit(top)
    expected = files(committed(name="fresh", modules=["item", "price"]).path)
    for made in (shop, bank):
        made.python("tools/updates/conflicts.py")
        made.python("tools/updates/moves.py")
        # README.md links to the page at the old path.
        assert changed(made.path, expected) == {"app/core/health.py", "alembic/README.md"}


COPIER = (sys.executable, "-m", "copier")


def test_an_update_needs_no_git_identity(committed: Callable[..., Project]) -> None:
    made = committed()
    append(made.path, "app/core/health.py", "\n# mine\n")
    commit(made.path)
    config = made.path.parent / "gitconfig"
    config.write_text("[user]\nuseConfigOnly = true\n")
    run(
        [*COPIER, "update", "--defaults", "--data", "modules=[item, price]"],
        made.path,
        GIT_CONFIG_GLOBAL=str(config),
        GIT_CONFIG_SYSTEM=os.devnull,
        PYTHONWARNINGS="ignore",
    )
    assert status(made.path) == ADDED


@pytest.mark.parametrize("how", ["changed", "untracked"])
def test_an_update_of_an_unclean_working_tree_is_rejected(
    committed: Callable[..., Project], how: str
) -> None:
    made = committed()
    if how == "changed":
        append(made.path, "README.md", "mine\n")
    else:
        (made.path / "mine.txt").write_text("mine\n")
    before = files(made.path)
    printed = run([*COPIER, "update", "--defaults"], made.path, status=1).stdout
    assert "Please commit or stash your local changes and retry." in printed
    assert "Traceback" not in printed
    assert files(made.path) == before


@pytest.mark.parametrize("how", ["autocrlf", "attributes"])
def test_an_update_keeps_windows_line_endings(committed: Callable[..., Project], how: str) -> None:
    made = committed()
    append(made.path, "app/core/health.py", "\n# mine\n")
    if how == "attributes":
        (made.path / ".gitattributes").write_text("* text=auto eol=crlf\n")
    git(made.path, "config", "core.autocrlf", "true")
    commit(made.path)
    git(made.path, "rm", "-r", "--cached", "--quiet", ".")
    git(made.path, "reset", "--hard", "--quiet")
    windows = b"\r\n" in (made.path / "app/core/health.py").read_bytes()
    assert windows is (how == "attributes")
    update(made.path, modules=["item", "price"])
    assert not in_conflict(made.path)
    commit(made.path)
    # Git stores them without carriage returns.
    stored = git(made.path, "show", "HEAD:app/core/health.py")
    assert stored.endswith("\n# mine\n")
    assert "\r" not in stored
    assert "# isort: split" in git(made.path, "show", "HEAD:app/main.py")
    assert not git(made.path, "diff", "--stat", "HEAD~", "--", "app/core/health.py")


def test_a_recopy_keeps_modules_and_revisions(committed: Callable[..., Project]) -> None:
    made = committed()
    for file in ("app/modules/item/service.py", "tests/modules/test_item.py", "app/core/health.py"):
        append(made.path, file, "\n# mine\n")
    append(made.path, "alembic/versions/0001_initial.py", "\n# mine\n")
    (made.path / "alembic/versions/HEAD").write_text("0002\n")
    commit(made.path)
    answers = {"modules": ["item", "price"], "discard_edits": True}
    copier.run_recopy(made.path, data=answers, defaults=True, overwrite=True, quiet=True)
    assert status(made.path) == ADDED | {"M app/core/health.py"}


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Send interrupts until the process has ended.

    Python ignores an interrupt that arrives while it runs a finalizer, so one may not be enough.
    """
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)


def test_an_interrupted_update_can_be_aborted_and_repeated(
    committed: Callable[..., Project],
) -> None:
    """Interrupted before and after the first write."""
    made = committed("0.2.0")
    append(made.path, "app/core/health.py", "\n# mine\n")
    commit(made.path)
    before = files(made.path)
    command = [*COPIER, "update", "--defaults", "--data", "modules=[item, price]"]
    for wait_for_changes in (False, True):
        process = subprocess.Popen(
            command,
            cwd=made.path,
            env=clean_environment(made.path) | {"PYTHONWARNINGS": "ignore"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(0.5)
        while wait_for_changes and not status(made.path):
            assert process.poll() is None
        interrupt(process)
        assert process.returncode != 0
        assert bool(status(made.path)) is wait_for_changes
        run(["sh", "-c", ABORT], made.path)
        assert files(made.path) == before
    printed = run(command, made.path, PYTHONWARNINGS="ignore").stdout
    assert f"My Service now follows v{WORKING_TREE} of the template" in printed
    assert 'revision --autogenerate -m "add price"' in printed
    assert f"\n    {ABORT}\n" in printed
    assert not in_conflict(made.path)
    made.python("tools/updates/conflicts.py")
    made.python("tools/updates/moves.py")
    expected = files(committed(name="fresh", modules=["item", "price"]).path)
    assert changed(made.path, expected) == {"app/core/health.py", "alembic/README.md"}
    pages = [text for name, text in expected.items() if name.endswith(".md")]
    assert any(f"\n{ABORT}\n".encode() in text for text in pages)
