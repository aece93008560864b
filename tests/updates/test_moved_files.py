"""Updates across a move: template-owned files whose path differs from that in a release."""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from packaging.version import Version

from tests.support.moves import MOVED, stub
from tests.support.projects import DATABASES, FEATURES, ROOT, Project, render, run, update
from tests.support.repositories import (
    IDENTITY,
    RELEASES,
    USERS_OWN,
    WORKING_TREE,
    commit,
    files,
    git,
    in_conflict,
)
from tests.updates.test_updates import (
    ADDED,
    ANSWERS,
    append,
    copier_run,
    into_monorepo,
    newer_template,
    status,
    substitute,
)

# 0.3.0 moved files.
RELEASES_SINCE = [version for version in RELEASES if Version(version) >= Version("0.3.0")]
OLD_RELEASES = [version for version in RELEASES if Version(version) < Version("0.3.0")]
# In each of them, and more that 0.1.0 did not have.
EDITED = [
    "app/core/migrations.py",
    "app/core/pagination.py",
    "tests/database_server.py",
    "tests/serve.py",
    "alembic/README.md",
    "app/core/migration_head.py",
    "app/core/migration_lock.py",
    "tests/core/test_migrations.py",
]
# In this order, they do not touch changes of the template.
CLEAN = ["tests/database_server.py", "tests/serve.py", "app/core/migration_head.py"]
LINE = "# mine\n"
COMMAND = "uv run --no-project tools/updates/moves.py"
CONFLICTS_LEFT = "Resolve the conflicts, and run this again to delete the stubs that nothing uses."


def names_in(made: Project, names: list[str]) -> list[str]:
    return sorted(name for name in names if (made.path / name).exists())


def edit(made: Project, names: list[str]) -> list[str]:
    """Append a line to the files of the project that are among these; return their names."""
    found = names_in(made, names)
    for name in found:
        append(made.path, name, LINE)
    commit(made.path)
    return found


def check_update(made: Project, status: int = 0) -> list[str]:
    """Return what the check of the update reports, without the advice at the end."""
    printed = made.python("tools/updates/conflicts.py", status=status).stdout.splitlines()
    return printed[:-1] if status else printed


def apply_moves(made: Project, status: int = 0) -> list[str]:
    """Apply edits and delete stubs; return the reports."""
    return made.python("tools/updates/moves.py", status=status).stdout.splitlines()


def moved_to(name: str) -> str:
    path: str = MOVED[name]["moved_to"]
    return path


def has_line(made: Project, name: str) -> bool:
    return LINE in (made.path / name).read_text("utf-8").splitlines(keepends=True)


def check_code(made: Project) -> None:
    made.run("ruff", "format", "--check", "--diff")
    made.run("ruff", "check")
    made.run("mypy")
    made.run("lint-imports")
    made.run("typos")


def resolve(made: Project, name: str) -> None:
    """Resolve the conflicts of a file with the template's version, and repeat the edit."""
    text = (made.path / name).read_text("utf-8")
    theirs = re.sub(r"^<{7} .*?^={7}\n(.*?)^>{7} .*?\n", r"\1", text, flags=re.M | re.S)
    (made.path / name).write_text(theirs + LINE, "utf-8")


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_unedited_files_that_moved_become_stubs_which_are_deleted_if_unused(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    had = files(made.path).keys() & MOVED.keys()
    (made.path / "README.md").write_text("Mine.\n", "utf-8")
    commit(made.path)
    update(made.path)
    assert in_conflict(made.path) == set()
    assert check_update(made) == []
    after = files(made.path)
    assert {name: after[name] for name in had} == {name: stub(name) for name in had}
    assert apply_moves(made) == [f"{name}: deleted; nothing uses it" for name in sorted(had)]
    assert files(made.path) == {name: text for name, text in after.items() if name not in had}
    assert apply_moves(made) == []


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_edited_files_that_moved_conflict_and_are_reported_with_their_new_paths(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    names = edit(made, EDITED)
    update(made.path)
    assert in_conflict(made.path) == {*names}
    reports = [
        f"{name}: moved to {moved_to(name)}; to apply your edits there: {COMMAND}" for name in names
    ]
    assert check_update(made, status=1) == reports
    printed = made.run("nox", "-s", "lint", status=1).stdout
    assert "\n".join(reports) in printed


@pytest.mark.parametrize("where", ["top", "a folder/my shop"])
@pytest.mark.parametrize("version", OLD_RELEASES)
def test_edits_are_applied_at_the_new_paths(
    committed: Callable[..., Project], version: str, where: str
) -> None:
    made = committed(version)
    if where != "top":
        other = into_monorepo(committed(version, "other"), "services/other")
        edit(other, CLEAN)
        made = into_monorepo(made, where)
        elsewhere = files(other.path)
    names = edit(made, CLEAN)
    update(made.path)
    fresh = files(committed(name="fresh").path)
    assert apply_moves(made)[: len(names)] == [
        f"{name}: edits applied in {moved_to(name)}" for name in names
    ]
    for name in names:
        assert (made.path / moved_to(name)).read_bytes() == fresh[moved_to(name)] + LINE.encode()
    assert in_conflict(made.path) == set()
    assert check_update(made) == []
    if where != "top":
        assert files(other.path) == elsewhere
    # It does nothing more, also after the stubs' stages are gone.
    before = files(made.path), status(made.path)
    kept = [report for report in apply_moves(made) if "kept" not in report]
    assert (kept, before) == ([], (files(made.path), status(made.path)))


def test_edits_are_applied_whatever_the_style_of_conflict_markers(
    committed: Callable[..., Project],
) -> None:
    made = committed("0.2.0")
    git(made.path, "config", "merge.conflictStyle", "diff3")
    names = edit(made, CLEAN)
    update(made.path)
    assert apply_moves(made)[: len(names)] == [
        f"{name}: edits applied in {moved_to(name)}" for name in names
    ]


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_edits_that_conflict_at_the_new_paths_are_reported_there(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    names = edit(made, EDITED)
    update(made.path)
    reports = apply_moves(made, status=1)
    assert reports[-1] == CONFLICTS_LEFT
    assert in_conflict(made.path) == set()
    overlapping = [
        name for name in names if f"{name}: resolve the conflicts in {moved_to(name)}" in reports
    ]
    assert {"app/core/migrations.py", "app/core/pagination.py"} <= {*overlapping}
    for name in names:
        assert (made.path / name).read_bytes() == stub(name)
        assert has_line(made, moved_to(name))
    printed = check_update(made, status=1)
    assert {report.split(":")[0] for report in printed} == {moved_to(name) for name in overlapping}
    # A second run neither repeats an edit nor forgets a conflict.
    before = files(made.path)
    assert apply_moves(made, status=1) == [CONFLICTS_LEFT]
    assert files(made.path) == before
    for name in overlapping:
        resolve(made, moved_to(name))
    assert check_update(made) == []
    assert all("kept" in report or "deleted" in report for report in apply_moves(made))
    made.run("ruff", "format")
    check_code(made)


@pytest.mark.long
def test_a_project_with_edits_at_new_paths_passes_its_tests(
    committed: Callable[..., Project],
) -> None:
    made = committed("0.2.0")
    own = made.path / "tests/test_own.py"
    own.write_text(IMPORTS, "utf-8")
    edit(made, EDITED)
    update(made.path)
    for report in apply_moves(made, status=1):
        if conflict := re.search(r"resolve the conflicts in (.*)", report):
            resolve(made, conflict[1])
    apply_moves(made)
    assert has_line(made, "tools/revision_head.py")
    made.python("-m", "tools.revision_head")
    made.python("-m", "tools.openapi")
    made.python("-m", "tools.settings_reference")
    made.python("-m", "pytest", "tests")


IMPORTS = """\
from app.core.autogenerate import process_revision
from app.core.migration_dialect import MigrationSession
from app.core.migration_head import find_heads
from app.core.migration_lock import migrating
from app.core.migrations import alembic_config
from app.core.pagination import Page
from tests.dangerous_operations import DangerousOperationWarning
from tests.database_server import run_server

NAMES = (
    *(process_revision, MigrationSession, find_heads, migrating, alembic_config, Page),
    *(DangerousOperationWarning, run_server),
)


def test_old_paths_have_the_names_of_the_new_ones() -> None:
    from app.core.migrations import lock

    assert migrating is lock.migrating
"""


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_a_project_with_stubs_passes_its_checks(
    committed: Callable[..., Project], database: str, version: str
) -> None:
    made = committed(version, database=database)
    if version != "0.1.0":
        (made.path / "tests/test_own.py").write_text(IMPORTS, "utf-8")
        commit(made.path)
    update(made.path)
    check_code(made)
    if version != "0.1.0":
        made.python("-m", "pytest", "tests/test_own.py")


def test_old_commands_fail_with_the_new_ones(committed: Callable[..., Project]) -> None:
    made = committed("0.2.0")
    update(made.path)
    scripts = [name for name, entry in MOVED.items() if entry.get("script")]
    assert scripts
    for name in scripts:
        printed = made.python("-m", name[:-3].replace("/", "."), status=1).stdout
        new = moved_to(name)[:-3].replace("/", ".")
        assert printed.splitlines()[-1] == f"Moved: run `python -m {new}`"


USES = {
    "app/a.py": "from app.core.migration_lock import migrating\n",
    "app/b.py": "import os\n\nimport app.core.migration_lock as lock\n",
    "app/c.py": "from app.core import (\n    dialect,\n    migration_lock,\n)\n",
    "app/core/d.py": "from . import migration_lock\n",
    "app/core/e/f.py": "from ..migration_lock import migrating\n",
    "app/g.py": "import importlib as i\n\ni.import_module('.migration_lock', 'app.core')\n",
    "app/h.py": "this is not Python: migration_lock\n",
    ".github/workflows/own.yml": "run: cat app/core/migration_lock.py\n",
    "a folder/notes.md": "See `app.core.migration_lock`.\n",
}
LINES = {"app/b.py": 3, "app/c.py": 1, "app/g.py": 3}
NO_USES = {
    "app/i.py": "migration_lock = 1  # from app.core import dialect\n",
    "app/j.py": "from app.core.migrations import lock as migration_lock\n",
    "app/k.py": "from .modules import migration_lock\n",
    "app/l.py": "from app.core.migration_locks import x\n",
}


def write(folder: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def test_stubs_are_kept_as_long_as_something_uses_them(
    committed: Callable[..., Project],
) -> None:
    made = committed("0.2.0")
    write(made.path, USES | NO_USES)
    # Ignored files, links and large repositories do not matter.
    (made.path / "link.py").symlink_to("app/a.py")
    commit(made.path)
    update(made.path)
    old = "app/core/migration_lock.py"
    expected = ", ".join(f"{name}:{LINES.get(name, 1)}" for name in sorted(USES))
    reports = apply_moves(made)
    assert f"{old}: kept; change these to {moved_to(old)}: {expected}" in reports
    assert "tests/serve.py: deleted; nothing uses it" in reports
    commit(made.path)
    for name in USES:
        assert f"{old}: kept" in "\n".join(apply_moves(made)), name
        (made.path / name).unlink()
    assert f"{old}: deleted; nothing uses it" in apply_moves(made)
    assert not (made.path / old).exists()


def test_a_stub_that_was_changed_is_never_deleted(committed: Callable[..., Project]) -> None:
    made = committed("0.2.0")
    update(made.path)
    commit(made.path)
    append(made.path, "tests/serve.py", LINE)
    windows = made.path / "tests/operation_rules.py"
    windows.write_bytes(windows.read_bytes().replace(b"\n", b"\r\n"))
    reports = apply_moves(made)
    assert not [report for report in reports if report.startswith("tests/serve.py")]
    assert (made.path / "tests/serve.py").read_bytes() == stub("tests/serve.py") + LINE.encode()
    assert "tests/operation_rules.py: deleted; nothing uses it" in reports


OLD, NEW = "app/core/migration_head.py", "tools/revision_head.py"


def conflicting(committed: Callable[..., Project], **options: Any) -> Project:
    """Return a project in which one edited file is in conflict with a stub."""
    made = committed("0.2.0")
    edit(made, [OLD])
    copier.run_update(made.path, defaults=True, overwrite=True, quiet=True, **options)
    return made


def test_conflicts_of_an_update_with_reject_files_are_reported(
    committed: Callable[..., Project],
) -> None:
    made = conflicting(committed, conflict="rej")
    report = f"{OLD}.rej: apply these edits in {NEW} by hand, then delete it"
    assert apply_moves(made, status=1) == [report]
    assert LINE in (made.path / f"{OLD}.rej").read_text("utf-8").replace("+", "")
    (made.path / f"{OLD}.rej").unlink()
    assert f"{OLD}: deleted; nothing uses it" in apply_moves(made)


def test_edits_are_applied_after_git_add(committed: Callable[..., Project]) -> None:
    made = conflicting(committed)
    git(made.path, "add", "--all")
    assert f"{OLD}: edits applied in {NEW}" in apply_moves(made)
    assert has_line(made, NEW)
    assert check_update(made) == []


def test_a_committed_conflict_is_reported(
    committed: Callable[..., Project], tmp_path: Path
) -> None:
    """As in the branch of the workflow that opens pull requests."""
    made = conflicting(committed)
    commit(made.path)
    clone = Project(tmp_path / "clone", made.environment, made.types, made.forked)
    git(tmp_path, "clone", "--quiet", str(made.path), str(clone.path))
    reports = apply_moves(clone, status=1)
    assert reports == [
        f"{OLD}: in a committed conflict; apply your edits in {NEW} by hand",
        CONFLICTS_LEFT,
    ]
    assert has_line(clone, OLD)


@pytest.mark.parametrize("merged", ["main", "feature"])
def test_edits_of_a_branch_that_is_merged_after_the_update_are_applied(
    committed: Callable[..., Project], merged: str
) -> None:
    made = committed("0.2.0")
    git(made.path, "switch", "--quiet", "--create", "feature")
    edit(made, [OLD])
    git(made.path, "switch", "--quiet", "main")
    update(made.path)
    commit(made.path)
    if merged == "main":
        git(made.path, "switch", "--quiet", "feature")
    run(["git", "merge", "--quiet", merged], made.path, status=1, **IDENTITY)
    assert in_conflict(made.path) == {OLD}
    assert check_update(made, status=1) == [
        f"{OLD}: moved to {NEW}; to apply your edits there: {COMMAND}"
    ]
    assert f"{OLD}: edits applied in {NEW}" in apply_moves(made)
    assert has_line(made, NEW)
    assert check_update(made) == []


@pytest.mark.parametrize("wrote", [1, 2])
def test_an_interrupted_run_can_be_repeated(committed: Callable[..., Project], wrote: int) -> None:
    """After the new file was written, and after the stub was."""
    made = committed("0.2.0")
    edit(made, CLEAN)
    update(made.path)
    before, index = files(made.path), (made.path / ".git/index").read_bytes()
    reports = apply_moves(made)
    after = files(made.path)
    (made.path / ".git/index").write_bytes(index)
    for name in MOVED.keys() - after.keys() - {OLD} | ({OLD} if wrote == 1 else set()):
        (made.path / name).write_bytes(before[name])
    if wrote == 2:
        (made.path / OLD).write_bytes(stub(OLD))
    assert in_conflict(made.path) == {*CLEAN}
    assert apply_moves(made) == reports
    assert files(made.path) == after


def test_a_file_that_was_changed_after_the_update_is_left_alone(
    committed: Callable[..., Project],
) -> None:
    made = conflicting(committed)
    append(made.path, OLD, "# more\n")
    before = files(made.path)
    report = (
        f"{OLD}: changed since the update; apply your edits in {NEW} by hand, then: git add {OLD}"
    )
    assert apply_moves(made, status=1) == [report, CONFLICTS_LEFT]
    assert files(made.path) == before
    # Then it is the user's own.
    (made.path / OLD).write_text(LINE, "utf-8")
    git(made.path, "add", OLD)
    assert not [report for report in apply_moves(made) if OLD in report]
    assert has_line(made, OLD)


def test_a_missing_new_file_is_reported(committed: Callable[..., Project]) -> None:
    made = conflicting(committed)
    (made.path / NEW).unlink()
    before = files(made.path)
    report = f"{OLD}: {NEW} does not exist; restore it, and run this again"
    assert apply_moves(made, status=1) == [report, CONFLICTS_LEFT]
    assert files(made.path) == before


def test_a_file_of_the_user_at_the_new_path_conflicts(committed: Callable[..., Project]) -> None:
    """And the old file is not taken for the user's own, but becomes a stub."""
    made = committed("0.2.0")
    write(made.path, {NEW: "MINE = 1\n"})
    edit(made, [OLD, "tests/serve.py"])
    update(made.path)
    assert in_conflict(made.path) == {NEW, OLD, "tests/serve.py"}
    reports = apply_moves(made, status=1)
    assert reports == [
        f"{OLD}: resolve the conflicts in {NEW}, and run this again",
        "tests/serve.py: edits applied in tools/serve.py",
        CONFLICTS_LEFT,
    ]
    text = (made.path / NEW).read_text("utf-8")
    (made.path / NEW).write_text(re.sub(r"^(<|=|>){7}.*\n", "", text, flags=re.M), "utf-8")
    git(made.path, "add", NEW)
    assert f"{OLD}: edits applied in {NEW}" in apply_moves(made)
    assert has_line(made, NEW)
    assert "MINE = 1\n" in (made.path / NEW).read_text("utf-8")


def test_a_symbolic_link_at_an_old_path_is_left_alone(committed: Callable[..., Project]) -> None:
    made = committed("0.2.0")
    write(made.path, {"mine.py": LINE})
    (made.path / OLD).unlink()
    (made.path / OLD).symlink_to("../../mine.py")
    commit(made.path)
    update(made.path)
    assert (made.path / OLD).is_symlink()
    assert (made.path / "mine.py").read_text("utf-8") == LINE
    assert OLD not in {line.split(maxsplit=1)[1] for line in status(made.path)}
    assert check_update(made) == []


def test_an_unfinished_update_to_0_3_0_is_rejected(committed: Callable[..., Project]) -> None:
    made = committed("0.2.0")
    edit(made, ["tests/serve.py"])
    update(made.path, version="0.3.0")
    commit(made.path)
    before = files(made.path)
    with pytest.raises(ValueError, match=r"Finish the update to 0\.3\.0 first: .*nox -s lint"):
        update(made.path)
    assert files(made.path) == before
    assert status(made.path) == set()
    (made.path / "tests/serve.py").unlink()
    made.python("tools/updates/conflicts.py")
    commit(made.path)
    update(made.path)
    assert files(made.path).keys() & MOVED.keys() == set()


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_the_message_after_an_update_names_moved_files_with_their_new_paths(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    (made.path / "tests/serve.py").unlink()
    (made.path / "app/core/migrations.py").unlink()
    commit(made.path)
    had = files(made.path).keys() & MOVED.keys()
    printed = copier_run(made, "update", "--defaults")
    assert f"\n\n    {COMMAND}\n\n" in printed
    kept, needed = printed.split("You had deleted these files; other files need them")
    assert paths(kept) == {name: moved_to(name) for name in had}
    assert paths(needed) == {"app/core/migrations.py": "app/core/migrations/__init__.py"}
    check_update(made)
    commit(made.path)
    printed = copier_run(made, "update", "--defaults")
    assert paths(printed) == {}
    assert COMMAND not in printed


def paths(message: str) -> dict[str, str]:
    """Return the old and new paths in a message."""
    return dict(re.findall(r"^    (\S+) -> (\S+)$", message, re.MULTILINE))


TABLE_START = "{% set moves = {\n"
MOVE = "'b.py': {'moved_to': 'a.py', 'since': '0.1.0', 'moved_in': '10000.0.0'},\n"


@pytest.mark.parametrize("table", ["same", "longer", "empty"])
@pytest.mark.parametrize("version", OLD_RELEASES)
def test_later_updates_leave_old_paths_alone(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, version: str, table: str
) -> None:
    """Stubs, what users kept in their place, and that they deleted them."""
    made = committed(version)
    template = newer_template(repository, tmp_path, made)
    update(made.path)
    (made.path / "tests/serve.py").write_text(LINE, "utf-8")
    (made.path / "app/core/pagination.py").unlink()
    append(made.path, "tests/database_server.py", LINE)
    commit(made.path)
    before = files(made.path)
    text = (template / "moves.jinja").read_text("utf-8")
    start, rest = text.split(TABLE_START)
    text = {
        "same": text,
        "longer": start + TABLE_START + MOVE + rest,
        "empty": start + "{% set moves = {" + rest[rest.index("\n} %}") :],
    }[table]
    (template / "moves.jinja").write_text(text, "utf-8")
    append(template, "template/.dockerignore", "!more\n")
    for release in ("10000.0.0", "10001.0.0"):
        commit(template, f"v{release}")
        update(made.path)
        assert status(made.path) == {
            f"M {ANSWERS}",
            *(["M .dockerignore"] if release == "10000.0.0" else []),
        }
        commit(made.path)
    after = files(made.path)
    changed = {ANSWERS, ".dockerignore"}
    assert {name: text for name, text in after.items() if name not in changed} == {
        name: text for name, text in before.items() if name not in changed
    }


def test_a_file_that_moves_in_a_further_release_leaves_a_stub(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    template = newer_template(repository, tmp_path, made)
    edit(made, ["tools/schema.py"])
    git(template, "mv", "template/tools/schema.py", "template/tools/drawing.py")
    entry = MOVE.replace("'a.py'", "'tools/drawing.py'").replace("'b.py'", "'tools/schema.py'")
    substitute(template, "moves.jinja", TABLE_START, TABLE_START + entry)
    append(template, "template/tools/drawing.py", "# theirs\n")
    substitute(template, "template/tools/drawing.py", '"""', '"""Theirs. ')
    commit(template, "v10000.0.0")
    update(made.path)
    [report] = check_update(made, status=1)
    assert report.startswith("tools/schema.py: moved to tools/drawing.py; ")
    assert apply_moves(made, status=1)[0] == (
        "tools/schema.py: resolve the conflicts in tools/drawing.py"
    )
    resolve(made, "tools/drawing.py")
    assert (made.path / "tools/drawing.py").read_text("utf-8").startswith('"""Theirs. ')
    [report] = apply_moves(made)
    assert report.startswith("tools/schema.py: kept; change these to tools/drawing.py: ")
    assert re.search(r"\bnoxfile\.py:\d", report)


def test_files_of_a_commit_between_releases_conflict_too(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    """It may have rendered a file that the release before did not."""
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(repository), str(template))
    git(template, "checkout", "--quiet", "v0.1.0")
    write(template / "template", {"tests/operation_rules.py": "RULES = 1\n"})
    commit(template)
    sha = git(template, "rev-parse", "HEAD").strip()
    made = committed("0.1.0")
    shutil.rmtree(made.path)
    copier.run_copy(
        str(template),
        made.path,
        vcs_ref=sha,
        data={"database": "sqlite"},
        defaults=True,
        quiet=True,
    )
    assert "_commit: v0.1.0-1-g" in (made.path / ANSWERS).read_text("utf-8")
    git(made.path, "init", "--quiet")
    write(made.path, {"tests/dangerous_operations.py": ""})
    names = edit(made, ["tests/dangerous_operations.py", "tests/operation_rules.py"])
    update(made.path, version=WORKING_TREE)
    assert in_conflict(made.path) == {*names}
    own, moved = apply_moves(made, status=1)[:2]
    assert own == (
        "tests/dangerous_operations.py: not a file of the template; keep your version, then:"
        " git add tests/dangerous_operations.py"
    )
    assert moved == "tests/operation_rules.py: resolve the conflicts in tools/operation_rules.py"


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_a_file_that_the_user_deleted_is_not_rendered_at_its_new_path(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    original = files(made.path)
    deleted = {name for name in MOVED if name in original and not moved_to(name).startswith("app/")}
    for name in deleted:
        (made.path / name).unlink()
    commit(made.path)
    update(made.path)
    gone = deleted | {moved_to(name) for name in deleted}
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


@pytest.mark.parametrize("version", [RELEASES_SINCE[-1], WORKING_TREE])
def test_a_project_of_a_later_release_may_have_files_of_its_own_at_old_paths(
    committed: Callable[..., Project], version: str
) -> None:
    made = committed(version)
    assert files(made.path).keys() & MOVED.keys() == set()
    (made.path / "tests/serve.py").write_text(LINE, "utf-8")
    commit(made.path)
    update(made.path, modules=["item", "price"])
    assert ADDED - {f"M {ANSWERS}"} <= status(made.path)
    assert files(made.path).keys() & MOVED.keys() == {"tests/serve.py"}
    assert (made.path / "tests/serve.py").read_text("utf-8") == LINE
    check_update(made)
    assert apply_moves(made) == []


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


# Answers that files may depend on.
ANSWERS_TO_RENDER = [
    {"database": database, "model_discovery": discovery, "features": FEATURES}
    for database, discovery in product(DATABASES, ["explicit", "scan"])
]


def test_the_table_lists_every_file_that_moved(repository: Path, tmp_path: Path) -> None:
    found: dict[str, set[str]] = {}
    for version, (number, answers) in product(
        [*RELEASES, WORKING_TREE], enumerate(ANSWERS_TO_RENDER)
    ):
        questions = yaml.safe_load(git(repository, "show", f"v{version}:copier.yml"))
        known = {name: answer for name, answer in answers.items() if name in questions}
        path = tmp_path / f"{version}-{number}"
        found.setdefault(version, set()).update(
            rendered(render(repository, path, version=version, **known))
        )
    now = found[WORKING_TREE]
    expected = {}
    for name in sorted(set().union(*found.values()) - now):
        if not USERS_OWN.match(name):
            since, *_ = (version for version, names in found.items() if name in names)
            moved_in = [version for version, names in found.items() if name in names][-1]
            expected[name] = (since, [*found][[*found].index(moved_in) + 1])
    # The version of the next release is not known yet.
    latest = [*RELEASES][-1]
    table = {
        name: (
            entry["since"],
            WORKING_TREE if Version(entry["moved_in"]) > Version(latest) else entry["moved_in"],
        )
        for name, entry in MOVED.items()
    }
    assert table == expected
    assert {entry["moved_to"] for entry in MOVED.values()} <= now
    for name, entry in MOVED.items():
        if name.endswith(".py"):
            [text, *_] = [
                path.read_text("utf-8")
                for path in tmp_path.glob(f"{WORKING_TREE}-*/{moved_to(name)}")
            ]
            assert ("\nif __name__ ==" in text) is entry.get("script", False), name


def rendered(project: Path) -> list[str]:
    return [file.relative_to(project).as_posix() for file in project.rglob("*") if file.is_file()]


def test_no_further_module_moves_to_a_package_of_its_name() -> None:
    """Python imports the package, and never a stub beside it."""
    shadowed = {name for name in MOVED if moved_to(name) == name.replace(".py", "/__init__.py")}
    assert shadowed == {"app/core/migrations.py", "app/core/pagination.py"}


def stubs_module() -> Any:
    """Return the rendered project's module that recognizes stubs."""
    path = ROOT / "template/tools/updates/move_stubs.py"
    spec = spec_from_file_location("move_stubs", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_projects_recognize_the_stubs_that_the_template_renders() -> None:
    recognize = stubs_module().moved_to
    for name in MOVED:
        text = stub(name)
        assert recognize(name, text) == moved_to(name)
        assert recognize(name, text.replace(b"\n", b"\r\n")) == moved_to(name)
        assert recognize(name, text + b"#") is None
        assert recognize("other.py", text.replace(b"__main__", b"main")) != name


@pytest.mark.parametrize("version", OLD_RELEASES)
def test_a_line_added_anywhere_conflicts_with_the_stub(
    committed: Callable[..., Project], version: str, tmp_path: Path
) -> None:
    """As Copier merges it: an edit must not silently end up in a stub."""
    made = committed(version)
    checked = 0
    for name in names_in(made, [*MOVED]):
        lines = (made.path / name).read_bytes().splitlines(keepends=True)
        (tmp_path / "stub").write_bytes(stub(name))
        for position in range(len(lines) + 1):
            edited = [*lines[:position], LINE.encode(), *lines[position:]]
            (tmp_path / "edited").write_bytes(b"".join(edited))
            command = ["git", "merge-file", "-p", "edited", str(made.path / name), "stub"]
            merged = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
            assert merged.returncode > 0, f"{name}:{position}"
            checked += 1
    assert checked > 150
