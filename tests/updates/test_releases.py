"""Updates of projects of every release to the working tree."""

import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support.checks import TESTS_OF_MODELS
from tests.support.edits import Edit
from tests.support.moves import MOVED as MOVES
from tests.support.moves import stub
from tests.support.projects import DATABASES, ROOT, TEMPLATE_PARTS, Project, update
from tests.support.repositories import (
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    check_known,
    commit,
    files,
    git,
    in_conflict,
    unlike,
)

FIELD = '    colour: Mapped[str | None] = mapped_column(String(30), comment="mine")\n'
ROUTE = """

@router.get("/greeting")
async def greet() -> str:
    return "mine"
"""
EDITS = [
    # A field of a model, whose revision is generated, and a route of a module.
    Edit("app/modules/item/models.py", FIELD),
    Edit("app/modules/item/router.py", ROUTE),
    # A route of the application.
    Edit(
        "app/main.py",
        '    app.include_router(health.router)\n    app.add_api_route("/mine", lambda: "mine")\n',
        "    app.include_router(health.router)\n",
    ),
    # Settings, changed and new.
    Edit(
        "app/core/settings.py",
        "pool_size: int = Field(default=20,",
        "pool_size: int = Field(default=10,",
    ),
    Edit(
        "app/core/settings.py",
        "validate_default=True)\n\n    mine: int = 1\n",
        "validate_default=True)\n",
    ),
    Edit(".env.example", "\nMINE=2\n"),
    # A renamed function of the core, in both places.
    Edit("app/core/errors.py", "def handle_errors(", "def install_error_handlers("),
    Edit("app/main.py", "RESPONSES, handle_errors", "RESPONSES, install_error_handlers"),
    Edit("app/main.py", "    handle_errors(app)", "    install_error_handlers(app)"),
    # Dependencies.
    Edit("pyproject.toml", '    "python-slugify>=8",\n    "sqlalchemy', '    "sqlalchemy'),
    # Prose.
    Edit("README.md", "It is mine.\n\n## Start", "## Start"),
]
# Written by the commands that the changelog asks for, and by `alembic revision`.
GENERATED = {"alembic/versions/HEAD", "docs/settings.md"}
DELETED = ["compose.yaml", "tests/core/test_health.py"]
REFORMATTED = "app/core/models.py"
# At its path before 0.3.0, and at the new one.
MOVED, MOVED_TO = "app/core/pagination.py", "app/core/pagination/__init__.py"
# What README.md, which belongs to the user, still links to.
KEPT_STUBS = {"0.1.0": set(), "0.2.0": {"alembic/README.md"}, "0.3.0": set()}
OWN_FILE = "app/modules/item/prices.py"


def edit(made: Project) -> None:
    """Edit a project in ways that users do."""
    for change in EDITS:
        change.apply(made.path)
    for file in DELETED:
        (made.path / file).unlink()
    names = [name for name in (REFORMATTED, MOVED) if (made.path / name).exists()]
    made.run("ruff", "format", "--quiet", "--line-length", "60", *names)
    (made.path / OWN_FILE).write_text("PRICES = [1, 2]\n", "utf-8")
    # Releases before 0.3.0 have no such commands.
    for command in ("openapi", "settings_reference"):
        if (made.path / f"tools/{command}.py").exists():
            made.python("-m", f"tools.{command}")


# Files in which these edits overlap with the template's changes.
OVERLAPPING = {
    *(".env.example", "app/core/errors.py", "app/core/settings.py", "app/main.py", REFORMATTED),
}
CONFLICTS = {
    "0.1.0": OVERLAPPING,
    "0.2.0": OVERLAPPING,
    # The line of app/main.py with the renamed function was among those of the middleware, and the
    # row of a setting of their own follows one that moved.
    "0.3.0": {"app/main.py", "docs/settings.md", REFORMATTED},
}


def resolve(made: Project, fresh: Path, file: str) -> None:
    """Resolve a conflict as users do: take the template's version and repeat the edit."""
    shutil.copy(fresh / file, made.path / file)
    for change in EDITS:
        if change.file == file:
            change.apply(made.path)
    if file == REFORMATTED:
        made.run("ruff", "format", "--quiet", "--line-length", "60", file)


def edited_files() -> set[str]:
    return {change.file for change in EDITS} | {*DELETED, REFORMATTED, OWN_FILE}


# Modules to run after an update, according to the changelog, by the version that asks for it.
ASKED = {
    "0.2.0": ["tools.revision_head"],
    "0.3.0": ["tools.openapi", "tools.settings_reference"],
    WORKING_TREE: ["tools.settings_reference"],
}
# Where a module was up to a version.
OLD_NAMES = {("0.2.0", "tools.revision_head"): "app.core.migration_head"}


def do_what_the_changelog_asks(made: Project, version: str, reached: str = WORKING_TREE) -> None:
    for asking, modules in ASKED.items():
        if Version(version) < Version(asking) <= Version(reached):
            for module in modules:
                made.python("-m", OLD_NAMES.get((reached, module), module))


# The latest release on every database, the others on one, which keeps the matrix small.
*OLDER, LATEST = RELEASES


@pytest.mark.long
@pytest.mark.parametrize(
    ("version", "database"),
    [*((version, "sqlite") for version in OLDER), *((LATEST, name) for name in DATABASES)],
    indirect=["database"],
)
def test_an_edited_project_is_updated(
    committed: Callable[..., Project], database: str, version: str
) -> None:
    made = committed(version, database=database)
    fresh = committed(name="fresh", database=database)
    upgrade = ("alembic", "upgrade", "head")
    original = files(made.path)
    # An older project's private server may need programs that today's projects do not install.
    with fresh.server() as url:
        made.run(*upgrade, DATABASE_URL=url)
        edit(made)
        made.run("alembic", "revision", "--autogenerate", "-m", "add colour", DATABASE_URL=url)
        made.run(*upgrade, DATABASE_URL=url)
        # An older project may lack the code that this script needs.
        fresh.sql(url, insert(version))
        commit(made.path)
        before = files(made.path)
        revisions = {name for name in before if name.startswith("alembic/versions/2")}

        update(made.path)

        conflicts = in_conflict(made.path)
        moved = {MOVED} & before.keys()
        assert conflicts == CONFLICTS[version] | moved
        status = 1 if conflicts else 0
        printed = made.python("tools/updates/conflicts.py", status=status).stdout
        assert {line.partition(":")[0] for line in printed.splitlines()[:-1]} == conflicts
        made.python("tools/updates/moves.py", status=1 if moved else 0)
        assert in_conflict(made.path) == CONFLICTS[version]
        for file in CONFLICTS[version] | ({MOVED_TO} if moved else set()):
            resolve(made, fresh.path, file)
        git(made.path, "add", "--all")
        made.python("tools/updates/moves.py")
        made.python("tools/updates/conflicts.py")
        do_what_the_changelog_asks(made, version)
        made.run(*upgrade, DATABASE_URL=url)
        made.run("alembic", "check", DATABASE_URL=url)
        assert made.sql(url, "SELECT name, colour FROM item") == [["Lamp", "red"]]
    after = files(made.path)
    # The template's changes have arrived, and nothing else has changed.
    edited = edited_files() | revisions | GENERATED | KEPT_STUBS[version]
    fresh_files = files(fresh.path)
    other = unlike(after, fresh_files)
    assert {name for name in other if not USERS_OWN.match(name)} <= edited
    # In the edited files, too.
    for name in edited_files() & after.keys() & fresh_files.keys():
        if USERS_OWN.match(name) or name == REFORMATTED:
            continue
        brought = {*fresh_files[name].splitlines()} - {*original.get(name, b"").splitlines()}
        assert brought <= {*after[name].splitlines()}, name
    # No edit is lost, and deleted files stay deleted.
    assert [change for change in EDITS if not change.survives(made.path)] == []
    assert not after.keys() & set(DELETED)
    for name in {OWN_FILE, *revisions, *filter(USERS_OWN.match, before)}:
        assert after[name] == before[name], name
    # What the update brought equals a fresh render, whose tests of the core pass elsewhere.
    made.python("-m", "pytest", *(["tests"] if database == "sqlite" else TESTS_OF_MODELS))


def insert(version: str) -> str:
    """Return a statement that inserts a row into the example's table as a version renders it."""
    row = {
        "id": "'01890000000070008000000000000000'",
        "name": "'Lamp'",
        "colour": "'red'",
        "created_at": "'2026-01-01'",
        "updated_at": "'2026-01-01'",
    }
    if Version(version) >= Version("0.3.0"):
        row["version"] = "1"
    return f"INSERT INTO item ({', '.join(row)}) VALUES ({', '.join(row.values())})"


@pytest.mark.parametrize(
    ("version", "name"),
    [*((version, "sqlite") for version in OLDER), *((LATEST, name) for name in DATABASES)],
)
def test_an_unedited_project_equals_a_fresh_render(
    committed: Callable[..., Project], version: str, name: str
) -> None:
    answers = {"database": name, "modules": ["item", "user"], "project_name": "Café à la carte"}
    made = committed(version, **answers)
    before = files(made.path)
    update(made.path)
    made.python("tools/updates/conflicts.py")
    after = files(made.path)
    fresh = files(committed(name="fresh", **answers).path)
    assert {file for file in unlike(after, before) if USERS_OWN.match(file)} == set()
    other = {file for file in unlike(after, fresh) if not USERS_OWN.match(file)}
    assert {file: after[file] for file in other} == {
        file: stub(file) for file in MOVES.keys() & before.keys()
    }
    made.python("tools/updates/moves.py")
    after = files(made.path)
    other = {file for file in unlike(after, fresh) if not USERS_OWN.match(file)}
    assert other == KEPT_STUBS[version]


def test_updating_through_every_release_equals_a_direct_update(
    committed: Callable[..., Project],
) -> None:
    first, *others = RELEASES
    made = committed(first)
    for previous, version in pairwise([first, *others, WORKING_TREE]):
        update(made.path, version=version)
        do_what_the_changelog_asks(made, previous, version)
        if (made.path / "tools/updates/conflicts.py").exists():
            made.python("tools/updates/conflicts.py")
        commit(made.path)
    fresh = files(committed(name="fresh").path)
    assert {name for name in unlike(files(made.path), fresh) if not USERS_OWN.match(name)} == set()


@pytest.mark.parametrize("version", RELEASES)
def test_every_edited_file_keeps_its_edits(committed: Callable[..., Project], version: str) -> None:
    """Copier deletes files that the template no longer renders, edited or not, unless excluded."""
    made = committed(version)
    line = b"# mine, %s\n"
    names = [name for name in files(made.path) if name != ".copier-answers.yml"]
    for name in names:
        path = made.path / name
        path.write_bytes(path.read_bytes() + line % name.encode())
    commit(made.path)
    update(made.path)
    for name in names:
        assert line % name.encode() in (made.path / name).read_bytes(), name


@pytest.mark.parametrize("version", RELEASES)
def test_a_removed_module_keeps_its_files(committed: Callable[..., Project], version: str) -> None:
    made = committed(version, modules=["item", "user"])
    models = made.path / "app/modules/user/models.py"
    models.write_text(models.read_text("utf-8") + "# mine\n", "utf-8")
    commit(made.path)
    before = files(made.path)
    update(made.path, modules=["item"])
    after = files(made.path)
    for file in filter(USERS_OWN.match, before):
        assert after[file] == before[file], file
    assert b"user" not in after["app/main.py"] + after["alembic/env.py"]


def news(changelog: str) -> str:
    """Return the changelog above the last release, without headings."""
    [_, above] = changelog.partition(f"## [{[*RELEASES][-1]}]")[0].split("## [Unreleased]\n")
    return re.sub(r"^#.*", "", above, flags=re.MULTILINE).strip()


def changes_since(sha: str) -> str:
    """Return the files of the template that differ from a commit.

    Raises LookupError if it is not in this clone.
    """
    check_known(sha)
    parts = [part for part in TEMPLATE_PARTS if part != "CHANGELOG.md"]
    changed = git(ROOT, "diff", "--name-only", sha, "--", *parts)
    return changed + git(ROOT, "ls-files", "--others", "--exclude-standard", "--", *parts)


def test_the_changelog_covers_every_change_of_the_template() -> None:
    """In the commit of the change or a later one, or in the working tree."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    [*_, released] = RELEASES.values()
    if changed := changes_since(released):
        assert news(text), f"[Unreleased] of CHANGELOG.md is empty, but these changed:\n{changed}"
    last = git(ROOT, "log", "-1", "--format=%H", "--", "CHANGELOG.md").strip()
    if text == git(ROOT, "show", f"{last}:CHANGELOG.md") and (changed := changes_since(last)):
        raise AssertionError(f"[Unreleased] of CHANGELOG.md is older than changes in:\n{changed}")


def test_every_release_is_in_the_changelog_and_its_commit_in_the_history() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    listed = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    # The commit of a release cannot name itself.
    if (
        listed[0] not in RELEASES
        and f'version = "{listed[0]}"' in (ROOT / "pyproject.toml").read_text()
    ):
        listed.pop(0)
    assert listed == [*reversed(RELEASES)]
    for version, sha in RELEASES.items():
        check_known(sha)
        git(ROOT, "merge-base", "--is-ancestor", sha, "HEAD")
        assert f'version = "{version}"' in git(ROOT, "show", f"{sha}:pyproject.toml")
