"""Updates across a move: template-owned files whose path differs from that in a release."""

import json
import re
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from tests.support.projects import DATABASES, ROOT, Project, render, run, update
from tests.support.repositories import (
    MOVED_FILES,
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    commit,
    files,
    in_conflict,
)
from tests.updates.test_updates import ADDED, append, newer_template, status

MOVED: dict[str, Any] = json.loads((ROOT / "template" / MOVED_FILES).read_text("utf-8"))
# 0.3.0 moved files.
OLD_RELEASES = [version for version in RELEASES if Version(version) < Version("0.3.0")]
# In each of them, and one more that 0.1.0 did not have.
EDITED = [
    "app/core/migrations.py",
    "app/core/pagination.py",
    "tests/database_server.py",
    "tests/serve.py",
]
EDITED_LATER = ["app/core/migration_lock.py"]
LINE = "# mine\n"


def edited_files(made: Project) -> list[str]:
    return [name for name in [*EDITED, *EDITED_LATER] if (made.path / name).exists()]


def edit(made: Project) -> list[str]:
    """Edit files that have moved since the project's release; return their names."""
    names = edited_files(made)
    for name in names:
        append(made.path, name, LINE)
    commit(made.path)
    return names


def check_update(made: Project, status: int = 0) -> str:
    return made.python("tools/updates/conflicts.py", status=status).stdout


def report(names: list[str]) -> str:
    lines = (
        f"{name}: moved to {MOVED[name]['moved_to']}; apply your edits there, then delete this file"
        for name in sorted(names)
    )
    return "\n".join(lines)


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_edited_files_that_moved_are_kept_and_reported_until_deleted(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    names = edit(made)
    before = files(made.path)

    update(made.path)

    assert in_conflict(made.path) == set()
    for _ in range(2):
        assert report(names) in check_update(made, status=1)
        after = files(made.path)
        assert {name: after.get(name) for name in names} == {name: before[name] for name in names}
        assert after.keys() & MOVED.keys() == set(names)
    assert report(names) in made.run("nox", "-s", "lint", status=1).stdout
    for name in names:
        (made.path / name).unlink()
    check_update(made)
    assert MOVED_FILES not in files(made.path)


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_unedited_files_that_moved_are_deleted_without_a_message(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    windows = made.path / "app/core/pagination.py"
    windows.write_bytes(windows.read_bytes().replace(b"\n", b"\r\n"))
    commit(made.path)
    update(made.path)
    assert check_update(made) == ""
    assert files(made.path).keys() & {*MOVED, MOVED_FILES} == set()


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_the_message_after_an_update_names_moved_files_with_their_new_paths(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    (made.path / "tests/serve.py").unlink()
    (made.path / "app/core/migrations.py").unlink()
    commit(made.path)
    had = files(made.path).keys() & MOVED.keys()
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    printed = run(command, made.path, PYTHONWARNINGS="ignore").stdout
    assert "`nox -s lint` deletes the old files that were not edited" in printed
    kept, needed = printed.split("You had deleted these files; other files need them")
    assert paths(kept) == {name: MOVED[name]["moved_to"] for name in had}
    assert paths(needed) == {"app/core/migrations.py": "app/core/migrations/__init__.py"}
    check_update(made)
    commit(made.path)
    printed = run(command, made.path, PYTHONWARNINGS="ignore").stdout
    assert paths(printed) == {}


def paths(message: str) -> dict[str, str]:
    """Return the old and new paths in a message."""
    return dict(re.findall(r"^    (\S+) -> (\S+)$", message, re.MULTILINE))


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_edited_files_that_moved_survive_later_updates(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, version: str
) -> None:
    made = committed(version)
    template = newer_template(repository, tmp_path, made)
    names = edit(made)
    update(made.path)
    check_update(made, status=1)
    commit(made.path)
    before = files(made.path)
    # A later release moves another file.
    table = template / "template" / MOVED_FILES
    entry = {"moved_to": "b.py", "since": "0.3.0", "unedited": []}
    table.write_text(json.dumps(MOVED | {"a.py": entry}), "utf-8")
    commit(template, "v10000.0.0")
    update(made.path)
    assert status(made.path) == {"M .copier-answers.yml", f"M {MOVED_FILES}"}
    assert {name: files(made.path)[name] for name in names} == {n: before[n] for n in names}
    assert report(names) in check_update(made, status=1)


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_a_file_that_the_user_deleted_is_not_rendered_at_its_new_path(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    original = files(made.path)
    deleted = {
        name
        for name, entry in MOVED.items()
        if name in original and not entry["moved_to"].startswith("app/")
    }
    for name in deleted:
        (made.path / name).unlink()
    commit(made.path)
    update(made.path)
    gone = deleted | {MOVED[name]["moved_to"] for name in deleted}
    assert len(deleted) >= 2
    assert files(made.path).keys() & gone == set()
    # What the release did not have arrives.
    others = {entry["moved_to"] for entry in MOVED.values()} - gone
    assert others <= files(made.path).keys()
    check_update(made)
    commit(made.path)
    update(made.path, modules=["item", "price"])
    assert status(made.path) == ADDED
    assert files(made.path).keys() & gone == set()


CATALOGUE = """
from app.core.errors import NotFoundError
from app.core.migrations import alembic_config, upgrade
from app.core.pagination import Page, PageQuery, PageQueryDep, Slice
from app.modules.item.models import Item
from app.modules.item.service import ItemService

USED = (NotFoundError, alembic_config, upgrade, Page, PageQueryDep)


class Catalogue(ItemService):
    async def first(self) -> Slice[Item]:
        return await self.repository.page(PageQuery(limit=1))

    async def rename(self, item: Item, name: str) -> Item:
        return await self.repository.change(item, {"name": name})

    async def copy(self, item: Item) -> Item:
        return await self.repository.add(Item(name=item.name))
"""


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_a_user_module_that_uses_renamed_names_still_works(
    committed: Callable[..., Project], version: str
) -> None:
    """They were renamed or moved after the release; an update does not change modules."""
    made = committed(version, database="sqlite")
    (made.path / "app/modules/item/catalogue.py").write_text(CATALOGUE, "utf-8")
    commit(made.path)
    update(made.path)
    check_update(made)
    made.python("-c", "from app.modules.item.catalogue import Catalogue")
    made.run("mypy")


def test_imports_of_moved_modules_are_reported_with_the_new_name(
    committed: Callable[..., Project],
) -> None:
    made = committed("0.2.0")
    lines = {
        "from app.core.migration_lock import migrating": "app.core.migrations.lock",
        "    import app.core.autogenerate as generate": "app.core.migrations.autogenerate",
        "from app.core import dialect, migration_head": "tools.revision_head",
        "from tests import database_server": "tools.database_server",
    }
    still_valid = "from app.core import migrations, pagination\nimport app.core.pagination\n"
    own = made.path / "app/modules/item/own.py"
    own.write_text("\n".join(lines) + "\n" + still_valid, "utf-8")
    commit(made.path)
    update(made.path)
    for _ in range(2):
        reported = check_update(made, status=1).splitlines()[:-1]
        assert len(reported) == len(lines)
        for number, (line, new) in enumerate(zip(reported, lines.values(), strict=True), start=1):
            assert line.startswith(f"app/modules/item/own.py:{number}: ")
            assert line.endswith(f" moved to {new}; update the import")
    own.unlink()
    check_update(made)


def test_a_new_project_may_have_files_of_its_own_at_old_paths(
    committed: Callable[..., Project],
) -> None:
    made = committed()
    assert files(made.path).keys() & {*MOVED, MOVED_FILES} == set()
    (made.path / "tests/serve.py").write_text(LINE, "utf-8")
    commit(made.path)
    update(made.path, modules=["item", "price"])
    assert status(made.path) == ADDED
    check_update(made)


@pytest.mark.parametrize("version", RELEASES)
def test_an_update_neither_changes_nor_deletes_nor_restores_the_readme(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    before = files(made.path)["README.md"]
    update(made.path, project_name="Another Name")
    assert files(made.path)["README.md"] == before
    (made.path / "README.md").unlink()
    commit(made.path)
    update(made.path, modules=["item", "price"])
    assert "README.md" not in files(made.path)


# Answers that the content of these files may depend on.
ANSWERS = [
    {"database": database, "model_discovery": discovery}
    for database, discovery in product(DATABASES, ["explicit", "scan"])
]


def test_the_table_lists_every_file_that_moved_with_its_unedited_contents(
    repository: Path, tmp_path: Path
) -> None:
    now: set[str] = set()
    for number, answers in enumerate(ANSWERS):
        project = render(repository, tmp_path / f"now-{number}", version=WORKING_TREE, **answers)
        now |= rendered(project).keys()
    expected: dict[str, Any] = {}
    for version, (number, answers) in product(RELEASES, enumerate(ANSWERS)):
        known = {"database": answers["database"]} if version == "0.1.0" else answers
        project = render(repository, tmp_path / f"{version}-{number}", version=version, **known)
        for name, content in rendered(project).items():
            if name not in now and not USERS_OWN.match(name):
                entry = expected.setdefault(
                    name,
                    {
                        "moved_to": MOVED.get(name, {}).get("moved_to", "<its new path>"),
                        "since": version,
                        "unedited": set(),
                    },
                )
                entry["unedited"].add(sha256(content).hexdigest())
    for entry in expected.values():
        entry["unedited"] = sorted(entry["unedited"])
    table = json.dumps(expected, indent=2, sort_keys=True)
    assert expected == MOVED, f"write this to template/{MOVED_FILES}:\n{table}"
    assert {entry["moved_to"] for entry in MOVED.values()} <= now


def rendered(project: Path) -> dict[str, bytes]:
    return {
        file.relative_to(project).as_posix(): file.read_bytes()
        for file in project.rglob("*")
        if file.is_file()
    }


def test_paths_of_moved_files_are_excluded_from_updates() -> None:
    excluded = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))["_exclude"]
    assert [path for path in excluded if "{" not in path] == [f"/{path}" for path in sorted(MOVED)]
