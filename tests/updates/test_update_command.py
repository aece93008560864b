"""`nox -s update`: nothing is lost, wherever the project lives, and nothing is half-written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.projects import Project, clean_environment, run
from tests.support.repositories import commit, files, git, in_conflict, unlike
from tests.updates.test_updates import (
    ADDED,
    append,
    into_monorepo,
    newer_template,
    status,
    substitute,
)

UNFINISHED = "tools/updates/unfinished_update.md"
INTERRUPTED = "An update was interrupted while it changed the project."
UNCHANGED = "The project is unchanged; see docs/updating.md."


@pytest.fixture
def made(committed: Callable[..., Project]) -> Project:
    """A project with edits of four kinds of files."""
    project = committed(database="sqlite")
    append(project.path, "app/core/health.py", "\n# mine\n")
    append(project.path, "alembic.ini", "# mine\n")
    append(project.path, "docs/lists.md", "\nMine.\n")
    append(project.path, "pyproject.toml", "\n# mine\n")
    commit(project.path)
    return project


EDITED = {"app/core/health.py", "alembic.ini", "docs/lists.md", "pyproject.toml"}


@pytest.fixture
def newer(made: Project, repository: Path, tmp_path: Path) -> Path:
    """A newer template, which changes the files that the project has edited, and two others."""
    newer = newer_template(repository, tmp_path, made)
    for file in ("app/core/health.py", "docs/lists.md", "docs/enums.md", "Dockerfile"):
        path = newer / "template" / file
        path.write_text(f"# theirs\n{path.read_text('utf-8')}", "utf-8")
    for file in ("alembic.ini.jinja", "pyproject.toml.jinja"):
        path = newer / "template" / file
        path.write_text(f"# theirs\n{path.read_text('utf-8')}", "utf-8")
    commit(newer, "v10000.0.0")
    return newer


BROUGHT = {f"M {file}" for file in {*EDITED, ".copier-answers.yml", "docs/enums.md", "Dockerfile"}}


def run_update(made: Project, *arguments: str, status: int = 0, **variables: str) -> str:
    """Run the command of `nox -s update`; return what it prints."""
    command = [sys.executable, "tools/updates/update.py", *arguments]
    return run(command, made.path, status=status, **variables).stdout


def check_lost(made: Project, status: int = 0, **variables: str) -> str:
    """Run the check of `nox -s lint` after a plain update; return what it prints."""
    command = [sys.executable, "tools/updates/lost_lines.py"]
    return run(command, made.path, status=status, **variables).stdout


def check_merged(made: Project, before: dict[str, bytes]) -> None:
    """Fail unless the project has all edits and all changes of the newer template."""
    prefix = git(made.path, "rev-parse", "--show-prefix").strip()
    assert {entry.replace(prefix, "", 1) for entry in status(made.path)} == BROUGHT
    after = files(made.path)
    for file in EDITED:
        assert after[file].endswith((b"# mine\n", b"Mine.\n")), file
        assert after[file].startswith(b"# theirs\n"), file
    assert after["README.md"] == before["README.md"]


def check_unchanged(made: Project, before: dict[str, bytes], printed: str) -> None:
    assert printed.rstrip().endswith(UNCHANGED)
    assert "Traceback" not in printed
    assert files(made.path) == before


def test_an_update_is_merged_with_edits_and_needs_no_further_check(
    made: Project, newer: Path
) -> None:
    before = files(made.path)
    printed = made.run("nox", "-s", "update").stdout
    check_merged(made, before)
    assert "My Service now follows v10000.0.0 of the template" in printed


def test_arguments_are_passed_to_copier(committed: Callable[..., Project]) -> None:
    made = committed()
    made.run("nox", "-s", "update", "--", "--data", "modules=[item, price]")
    assert status(made.path) == ADDED
    commit(made.path)
    before = files(made.path)
    printed = run_update(made, "--data", "modules=[Item]", status=1)
    assert "Item" in printed
    check_unchanged(made, before, printed)


def test_conflicts_are_listed_and_recorded_as_by_git(made: Project, newer: Path) -> None:
    substitute(made.path, "app/core/health.py", '"""', '"""Mine. ')
    commit(made.path)
    before = files(made.path)
    printed = run_update(made, status=1)
    assert "app/core/health.py:1: <<<<<<< before updating" in printed
    assert in_conflict(made.path) == {"app/core/health.py"}
    stages = git(made.path, "ls-files", "--unmerged").splitlines()
    assert [line.split()[2] for line in stages] == ["1", "2", "3"]
    base, ours, theirs = (git(made.path, "cat-file", "blob", line.split()[1]) for line in stages)
    assert ours.encode() == before["app/core/health.py"]
    assert theirs == f"# theirs\n{base}"
    git(made.path, "restore", "--source=HEAD", "--staged", "--worktree", ".")
    assert files(made.path) == before


def into_repository(made: Project, folder: str) -> tuple[Project, Path]:
    """Move a project into a larger repository; return it and the top folder."""
    moved = into_monorepo(made, folder)
    top = Path(git(moved.path, "rev-parse", "--show-toplevel").strip())
    return moved, top


@pytest.mark.parametrize("ignored", [False, True], ids=["untracked", "ignored"])
@pytest.mark.parametrize("name", ["other/notes.txt.rej", "stray.rej"])
def test_rejected_edits_elsewhere_in_the_repository_stop_an_update(
    made: Project, newer: Path, name: str, ignored: bool
) -> None:
    """Copier would replace the file next to them with its committed state, or fail if none is."""
    made, top = into_repository(made, "services/shop")
    (top / "other").mkdir()
    (top / "other/notes.txt").write_text("committed\n")
    (top / ".gitignore").write_text("*.rej\nnotes.txt\n" if ignored else "")
    git(top, "add", "--all", "--force")
    commit(top)
    git(top, "update-index", "--assume-unchanged", "other/notes.txt")
    (top / "other/notes.txt").write_text("resolved by hand\n")
    (top / name).write_text("rejected\n")
    before = files(top)
    printed = run_update(made, status=1)
    assert f"{name}: rejected edits of an earlier update" in printed
    check_unchanged(made, files(made.path), printed)
    assert files(top) == before
    assert (top / "other/notes.txt").read_text() == "resolved by hand\n"


@pytest.mark.parametrize("where", ["project", "elsewhere"])
def test_uncommitted_changes_anywhere_in_the_repository_stop_an_update(
    made: Project, newer: Path, where: str
) -> None:
    made, top = into_repository(made, "services/shop")
    changed = made.path / "README.md" if where == "project" else top / "README.md"
    changed.write_text("Mine.\n")
    (top / "new.txt").write_text("Mine.\n")
    before = files(top)
    printed = run_update(made, status=1)
    assert f"{changed.relative_to(top)}: uncommitted; commit or stash it" in printed
    assert "new.txt: uncommitted" in printed
    check_unchanged(made, files(made.path), printed)
    assert files(top) == before


@pytest.mark.parametrize("folder", ["app/core", "docs"])
def test_a_linked_folder_stops_an_update(made: Project, newer: Path, folder: str) -> None:
    (made.path / folder).rename(made.path / "elsewhere")
    (made.path / folder).symlink_to(made.path / "elsewhere")
    commit(made.path)
    before = files(made.path / "elsewhere")
    printed = run_update(made, status=1)
    assert f"{folder}: symbolic link, which git does not follow; replace it with" in printed
    assert printed.rstrip().endswith(UNCHANGED)
    assert status(made.path) == set()
    assert files(made.path / "elsewhere") == before


def test_a_linked_file_stays_a_link(made: Project, newer: Path) -> None:
    (made.path / "Dockerfile").rename(made.path / "Containerfile")
    (made.path / "Dockerfile").symlink_to("Containerfile")
    commit(made.path)
    before = files(made.path)["Containerfile"]
    assert "\nDockerfile: symbolic link, not updated\n" in run_update(made)
    assert status(made.path) == BROUGHT - {"M Dockerfile"}
    assert (made.path / "Dockerfile").readlink() == Path("Containerfile")
    assert files(made.path)["Containerfile"] == before


def add_blobs(folder: Path, size: int, names: Iterator[str]) -> None:
    """Commit files of text, of a size in bytes, without writing them to the working tree."""
    line = b"0123456789abcde\n"
    blob = folder / "blob"
    blob.write_bytes(line * (size // len(line)))
    stored = git(folder, "hash-object", "-w", "blob").strip()
    blob.unlink()
    for name in names:
        git(folder, "update-index", "--add", "--cacheinfo", f"100644,{stored},{name}")
        git(folder, "update-index", "--skip-worktree", name)
    git(folder, "commit", "--quiet", "--message", "Data")


def test_more_text_elsewhere_than_git_compares_does_not_matter(made: Project, newer: Path) -> None:
    """`git apply` rejects patches of 1 GiB, and Copier compares the whole repository."""
    before = files(made.path)
    made, top = into_repository(made, "services/shop")
    add_blobs(top, 292 * 2**20, (f"data/{number}.txt" for number in range(4)))
    run_update(made)
    check_merged(made, before)


def test_more_text_in_the_project_than_git_compares_stops_an_update(
    made: Project, newer: Path
) -> None:
    add_blobs(made.path, 999_000, (f"data/{number}.txt" for number in range(550)))
    before = files(made.path)
    printed = run_update(made, status=1)
    assert "0.5 GiB of text in the project: git cannot compare more than 0.5 GiB; move" in printed
    check_unchanged(made, before, printed)


@pytest.mark.parametrize(
    ("kind", "variable"), [("ignore", "HOME"), ("attributes", "XDG_CONFIG_HOME")]
)
def test_files_ignored_everywhere_and_global_attributes_do_not_hide_edits(
    made: Project, newer: Path, tmp_path: Path, kind: str, variable: str
) -> None:
    folder = tmp_path / "user" / (".config/git" if variable == "HOME" else "git")
    folder.mkdir(parents=True)
    lines = "*.ini\ndocs/\n" if kind == "ignore" else "*.toml -diff\n*.py binary\n* text eol=crlf\n"
    (folder / kind).write_text(lines)
    before = files(made.path)
    variables = {"XDG_CONFIG_HOME": "", variable: str(tmp_path / "user")}
    run_update(made, status=0, **variables)
    check_merged(made, before)


def test_git_settings_of_the_user_do_not_hide_edits(
    made: Project, newer: Path, tmp_path: Path
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\nexcludesFile = {tmp_path}/ignored\nattributesFile = {tmp_path}/attributes\n"
        "[apply]\nwhitespace = error-all\n[status]\nshowUntrackedFiles = no\n"
        "[user]\nuseConfigOnly = true\n"
    )
    (tmp_path / "ignored").write_text("*.ini\n")
    (tmp_path / "attributes").write_text("* binary\n")
    append(made.path, "app/core/health.py", "# trailing space \n# mine\n")
    commit(made.path)
    before = files(made.path)
    run_update(made, GIT_CONFIG_GLOBAL=str(config))
    check_merged(made, before)


def test_an_ignored_file_of_the_template_stops_an_update(made: Project, newer: Path) -> None:
    git(made.path, "rm", "--cached", "--quiet", "alembic.ini")
    append(made.path, ".gitignore", "alembic.ini\n")
    commit(made.path)
    before = (made.path / "alembic.ini").read_bytes()
    printed = run_update(made, status=1)
    assert "alembic.ini: file of the template that git ignores (.gitignore:" in printed
    check_unchanged(made, files(made.path), printed)
    assert (made.path / "alembic.ini").read_bytes() == before


def test_an_ignored_file_where_the_new_version_has_one_stops_an_update(
    made: Project, newer: Path
) -> None:
    (newer / "template/notes.txt").write_text("theirs\n")
    commit(newer, "v10001.0.0")
    append(made.path, ".gitignore", "notes.txt\n")
    commit(made.path)
    (made.path / "notes.txt").write_text("mine\n")
    printed = run_update(made, status=1)
    assert "notes.txt: file of the template that git ignores" in printed
    assert printed.rstrip().endswith(UNCHANGED)
    assert status(made.path) == set()
    assert (made.path / "notes.txt").read_text() == "mine\n"


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
def test_edits_in_files_that_git_does_not_compare_stop_an_update(
    made: Project, newer: Path, option: str
) -> None:
    git(made.path, "update-index", option, "docs/enums.md")
    append(made.path, "docs/enums.md", "mine\n")
    before = files(made.path)
    printed = run_update(made, status=1)
    assert "docs/enums.md: git does not look for changes in it; run git update-index" in printed
    check_unchanged(made, before, printed)


def test_a_project_in_a_folder_with_any_name_is_updated(made: Project, newer: Path) -> None:
    """With a file that both sides add, which Copier alone cannot compare there."""
    made, _ = into_repository(made, "dienste/bücher & café")
    (newer / "template/app/core/clock.py").write_text('"""Theirs."""\n')
    commit(newer, "v10001.0.0")
    (made.path / "app/core/clock.py").write_text('"""Theirs."""\n\nMINE = 1\n')
    commit(made.path)
    before = files(made.path)
    run_update(made, status=1)
    unmerged = git(made.path, "ls-files", "--unmerged", "-z")
    assert {entry.partition("\t")[2] for entry in unmerged.split("\0") if entry} == {
        "app/core/clock.py"
    }
    after = files(made.path)
    assert b"MINE = 1" in after["app/core/clock.py"]
    brought = {entry.removeprefix("M ") for entry in BROUGHT}
    assert unlike(before, after) == brought | {"app/core/clock.py"}


@pytest.mark.parametrize("name", ["tools/updates", "docs"])
def test_a_file_in_place_of_a_folder_stops_every_update(
    committed: Callable[..., Project], name: str
) -> None:
    made = committed("0.1.0")
    shutil.rmtree(made.path / name, ignore_errors=True)
    (made.path / name).parent.mkdir(exist_ok=True)
    (made.path / name).write_text("mine\n")
    commit(made.path)
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    printed = run(command, made.path, status=1, PYTHONWARNINGS="ignore").stdout
    assert f"Rename the file '{name}': the template renders a folder there." in printed
    assert status(made.path) == set()


def killing_git(folder: Path, command: str, when: str) -> str:
    """Return a PATH whose git kills its caller before or after it executes a command."""
    folder.mkdir()
    program = shutil.which("git")
    kill = f'case " $* " in *" {command} "*) kill -KILL $PPID; exit 1;; esac\n'
    script = f'{kill}exec {program} "$@"\n' if when == "before" else f'{program} "$@"\n{kill}'
    (folder / "git").write_text(f"#!/bin/sh\n{script}")
    (folder / "git").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("command", ["cat-file", "commit-tree", "apply"])
def test_an_update_killed_before_its_result_is_written_changes_nothing(
    made: Project, newer: Path, tmp_path: Path, command: str
) -> None:
    before = files(made.path)
    path = killing_git(tmp_path / "bin", command, "before")
    # Copier calls `git apply`, and its end is an error; the others are called by the update itself.
    run_update(made, status=1 if command == "apply" else -signal.SIGKILL, PATH=path)
    assert files(made.path) == before
    run_update(made)
    check_merged(made, before)


def check_interrupted(made: Project, before: dict[str, bytes]) -> None:
    """Fail unless lint and further updates reject the state until it is aborted."""
    for _ in range(2):
        printed = check_lost(made, status=1)
        assert INTERRUPTED in printed
    assert INTERRUPTED in run_update(made, status=1)
    [abort] = [line for line in printed.splitlines() if line.startswith("    git restore")]
    run(["sh", "-c", abort], made.path)
    assert files(made.path) == before


@pytest.mark.parametrize(
    ("command", "when"),
    [("hash-object", "before"), ("checkout-index", "after"), ("update-index", "after")],
)
def test_an_update_killed_while_its_result_is_written_is_marked(
    made: Project, newer: Path, tmp_path: Path, command: str, when: str
) -> None:
    before = files(made.path)
    path = killing_git(tmp_path / "bin", command, when)
    run_update(made, status=-signal.SIGKILL, PATH=path)
    check_interrupted(made, before)


@pytest.mark.parametrize(
    ("folder", "committed_too"),
    [("", False), ("", True), ("services/shop", False)],
    ids=["uncommitted", "committed", "subfolder"],
)
def test_a_plain_update_killed_before_the_merge_fails_lint(
    made: Project, newer: Path, tmp_path: Path, folder: str, committed_too: bool
) -> None:
    if folder:
        made, _ = into_repository(made, folder)
    before = files(made.path)
    path = killing_git(tmp_path / "bin", "apply", "before")
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    run(command, made.path, status=-signal.SIGKILL, PATH=path, PYTHONWARNINGS="ignore")
    if committed_too:
        commit(made.path)
        append(made.path, "README.md", "Later.\n")
        commit(made.path)
    printed = made.run("nox", "-s", "lint", status=1).stdout
    for line in ("app/core/health.py: # mine", "alembic.ini: # mine", "docs/lists.md: Mine."):
        assert f"\n{line}\n" in printed
    assert INTERRUPTED in printed
    # The next update is rejected, too.
    printed = run(command, made.path, status=1, PYTHONWARNINGS="ignore").stdout
    assert ("Finish the previous update, which was interrupted" in printed) is committed_too
    if not committed_too:
        git(made.path, "restore", "--source=HEAD", "--staged", "--worktree", ".")
        git(made.path, "clean", "-d", "--force", ".")
        assert files(made.path) == before


def test_an_interrupted_update_changes_nothing(made: Project, newer: Path, tmp_path: Path) -> None:
    before = files(made.path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "tools/updates/update.py"],
        cwd=made.path,
        env=clean_environment(made.path) | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while not any(temporary.iterdir()):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    check_unchanged(made, before, printed)


def test_a_plain_update_is_checked_by_lint(made: Project, newer: Path) -> None:
    before = files(made.path)
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    run(command, made.path, PYTHONWARNINGS="ignore")
    check_merged(made, before)
    assert check_lost(made) == ""
    # Once it has been checked, lines may be deleted.
    substitute(made.path, "docs/lists.md", "Mine.\n", "")
    assert check_lost(made) == ""


def test_a_plain_update_that_loses_edits_fails_lint(
    made: Project, newer: Path, tmp_path: Path
) -> None:
    """Here because of files that git ignores everywhere."""
    (tmp_path / "git").mkdir()
    (tmp_path / "git/ignore").write_text("*.ini\n")
    (made.path / "mine.ini").write_text("[mine]\n")
    commit(made.path)
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    variables = {"PYTHONWARNINGS": "ignore", "XDG_CONFIG_HOME": str(tmp_path)}
    run(command, made.path, status=0, **variables)
    printed = check_lost(made, status=1, **variables)
    assert "alembic.ini: # mine\nThe update lost these edits of yours." in printed
    git(made.path, "add", "--all")
    hook = ("pre-commit", "run", "update-check")
    assert "alembic.ini: # mine" in made.run(*hook, status=1).stdout
    # As the message says, if the line is not needed.
    commit(made.path)
    assert check_lost(made) == ""


def test_an_update_that_would_lose_edits_changes_nothing(made: Project, newer: Path) -> None:
    """Here because Copier reads the differences as UTF-8 text."""
    with (made.path / "app/core/health.py").open("ab") as file:
        file.write("# Stück\n".encode("latin-1"))
    commit(made.path)
    before = files(made.path)
    printed = run_update(made, status=1)
    assert "app/core/health.py: # St\N{REPLACEMENT CHARACTER}ck\n" in printed
    assert "The update would lose these lines and files of yours. Store edits as UTF-8" in printed
    check_unchanged(made, before, printed)


def test_a_plain_update_of_an_ignored_file_is_reported(made: Project, newer: Path) -> None:
    git(made.path, "rm", "--cached", "--quiet", "alembic.ini")
    append(made.path, ".gitignore", "alembic.ini\n")
    commit(made.path)
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    run(command, made.path, PYTHONWARNINGS="ignore")
    assert "alembic.ini: ignored by git, so the update may have" in check_lost(made, status=1)


@pytest.mark.parametrize("file", ["noxfile.py", "pyproject.toml"])
def test_a_plain_update_is_checked_while_a_conflict_breaks_lint(
    made: Project, newer: Path, file: str
) -> None:
    first, marker = (made.path / file).read_text("utf-8").splitlines()[0], "<<<<<<< before"
    substitute(made.path, file, first, "# mine")
    commit(made.path)
    rendered = newer / f"template/{file}"
    rendered = rendered if rendered.exists() else rendered.with_name(f"{file}.jinja")
    rendered.write_text(rendered.read_text("utf-8").replace(first, "# theirs", 1), "utf-8")
    commit(newer, "v10001.0.0")
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    run(command, made.path, PYTHONWARNINGS="ignore")
    assert marker in (made.path / file).read_text("utf-8")
    made.run("uv", "run", "--script", "tools/updates/lost_lines.py")
    assert (made.path / ".git/checked-update").exists()


def test_copying_again_is_rejected_unless_edits_may_be_discarded(made: Project) -> None:
    append(made.path, "Dockerfile", "# uncommitted\n")
    before = files(made.path)
    again = [sys.executable, "-m", "copier", "recopy", "--defaults", "--overwrite"]
    printed = run(again, made.path, status=1, PYTHONWARNINGS="ignore").stdout
    assert "copying again overwrites your edits, also uncommitted ones" in printed
    assert files(made.path) == before
    run([*again, "--data", "discard_edits=false"], made.path, status=1, PYTHONWARNINGS="ignore")
    assert files(made.path) == before
    run([*again, "--data", "discard_edits=true"], made.path, PYTHONWARNINGS="ignore")
    assert not files(made.path)["Dockerfile"].endswith(b"# uncommitted\n")
    assert b"# mine" not in files(made.path)["alembic.ini"]


DEPENDENCY = '    "fastapi>=0.165",\n'
SESSION = "\n\n@nox.session\ndef {name}(session: nox.Session) -> None:\n    session.log('{name}')\n"


@pytest.mark.parametrize("staged", [False, True], ids=["edited", "staged"])
def test_a_dependency_of_the_new_version_that_was_dropped_in_a_conflict_is_reported(
    made: Project, newer: Path, staged: bool
) -> None:
    substitute(made.path, "pyproject.toml", DEPENDENCY, '    "fastapi>=0.165,<1",\n')
    commit(made.path)
    theirs = '    "fastapi[standard]>=0.165",\n    "Humanize_Me>=4",\n'
    substitute(newer, "template/pyproject.toml.jinja", DEPENDENCY, theirs)
    commit(newer, "v10001.0.0")
    run_update(made, status=1)
    check = "tools/updates/resolutions.py"
    made.python(check)
    git(made.path, "checkout", "--quiet", "--ours", "pyproject.toml")
    if staged:
        git(made.path, "add", "pyproject.toml")
    expected = "pyproject.toml: the new version's dependency humanize-me is missing; add it again"
    assert expected in made.python(check, status=1).stdout
    substitute(made.path, "pyproject.toml", "dependencies = [", 'dependencies = ["humanize.me",')
    made.python(check)


def test_a_file_that_is_invalid_since_its_conflict_was_resolved_is_reported(
    made: Project, newer: Path
) -> None:
    line = 'requires-python = ">=3.11"\n'
    substitute(made.path, "pyproject.toml", line, 'requires-python = ">=3.12"\n')
    commit(made.path)
    substitute(newer, "template/pyproject.toml.jinja", line, 'requires-python = ">=3.13"\n')
    commit(newer, "v10001.0.0")
    run_update(made, status=1)
    keep_both_sides(made.path / "pyproject.toml")
    git(made.path, "add", "pyproject.toml")
    printed = made.python("tools/updates/resolutions.py", status=1).stdout
    assert "pyproject.toml: invalid since its conflict was resolved: Cannot overwrite" in printed


def keep_both_sides(file: Path) -> str:
    """Delete the markers of conflicts, as editors do; return the text."""
    lines = file.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
    file.write_text("".join(kept), "utf-8")
    return "".join(kept)


def test_a_session_that_lost_its_decorator_in_a_conflict_is_reported(
    made: Project, newer: Path
) -> None:
    append(made.path, "noxfile.py", SESSION.format(name="mine"))
    commit(made.path)
    append(newer, "template/noxfile.py.jinja", SESSION.format(name="theirs"))
    commit(newer, "v10001.0.0")
    run_update(made, status=1)
    kept = keep_both_sides(made.path / "noxfile.py")
    git(made.path, "add", "noxfile.py")
    printed = made.run("nox", "-s", "lint", status=1).stdout
    lost = "mine" if "def theirs" in kept.partition("def mine")[0] else "theirs"
    assert f"noxfile.py: the new version's session {lost} is missing; add it again" in printed


def test_the_commands_of_the_page_on_updates_work(made: Project, newer: Path) -> None:
    page = (made.path / "docs/updating.md").read_text("utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    start, abort, moves, add, switch, answer, unreleased, plain, check = map(str.splitlines, blocks)
    switch = [line.replace("NAME", "jobs") for line in switch]
    before = files(made.path)
    # The last line of the first block runs all tests; here, only what comes first.
    for line in start[:2]:
        execute(made, line)
    check_merged(made, before)
    assert start[2].startswith("uv run nox  ")
    made.python("tools/updates/conflicts.py")
    for line in abort:
        execute(made, line)
    assert files(made.path) == before
    for line in [*moves, "alembic upgrade head", *add]:
        execute(made, line)
    assert (made.path / "app/modules/invoice/models.py").exists()
    assert "invoice" in (made.path / "docs/openapi.json").read_text("utf-8")
    for lines in (switch, answer, unreleased, [*plain, *check]):
        commit(made.path)
        for line in lines:
            execute(made, line)
    answers = files(made.path)[".copier-answers.yml"].decode()
    assert "model_discovery: scan" in answers
    assert "- jobs\n" in answers
    assert status(made.path) == set()


def execute(made: Project, line: str) -> None:
    """Execute a command of the documentation in the environment of the tests."""
    line = line.replace("uvx copier", f"'{sys.executable}' -W ignore -m copier")
    line = line.replace("uv run --script", f"'{sys.executable}'")
    line = line.replace("uv run --no-project", "python").replace("uv run ", "")
    url = f"sqlite:///{made.path}/app.db"
    made.run("sh", "-e", "-c", line, DATABASE_URL=url)


LOST = """
import json, sys
from tools.updates.comparison import find_lost

given = ({path: text.encode() for path, text in files.items()} for files in json.load(sys.stdin))
print(*find_lost(*given), sep="\\n")
"""
RENDERED = {"kept.py": "a\nimport os\n", "edited.py": "a\n", "unedited.py": "a\n"}
BEFORE = {
    "kept.py": "a\nimport os\nmine\n",
    "edited.py": "a\nimport os\n\nmoved\nmoved\n  lost  \n",
    "unedited.py": "a\n",
    "own.py": "lost, too\n",
    "renamed.py": "renamed\n",
    "rejected.py": "rejected\n",
    "logo.png": "\0one",
    "image.png": "\0two",
}
AFTER = {
    "kept.py": "import os\nb\nmine\n",
    "edited.py": "moved\r\n",
    "other.py": "moved\n",
    "new.py": "renamed\n",
    "rejected.py": "theirs\n",
    "rejected.py.rej": "@@ -1 +1 @@\n-a\n+rejected\n",
    "logo.png": "\0theirs",
    "image.png": "\0two",
}


def test_lost_lines_are_those_of_the_user_that_are_nowhere_else(made: Project) -> None:
    given = json.dumps([RENDERED, BEFORE, AFTER])
    command = [sys.executable, "-c", LOST]
    printed = subprocess.check_output(command, cwd=made.path, input=given, text=True)
    assert printed.splitlines() == [
        "edited.py: import os",
        "edited.py:   lost",
        "logo.png: binary content",
        "own.py: deleted",
        "own.py: lost, too",
    ]


def test_edits_that_only_remove_lines_are_reported_if_an_update_restores_them(
    made: Project, newer: Path, tmp_path: Path
) -> None:
    (tmp_path / "git").mkdir()
    (tmp_path / "git/ignore").write_text("*.ini\n")
    substitute(made.path, "alembic.ini", "path_separator = os\n", "")
    (made.path / "docs/enums.md").unlink()
    commit(made.path)
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    run(command, made.path, PYTHONWARNINGS="ignore", XDG_CONFIG_HOME=str(tmp_path))
    printed = check_lost(made, status=1)
    assert "alembic.ini: path_separator = os (restored)" in printed
    assert "docs/enums.md" not in printed


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"])
def test_variables_of_git_hooks_do_not_reach_temporary_repositories(
    made: Project, newer: Path, variable: str
) -> None:
    git(made.path, "tag", "v9999.0.0")
    places = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_WORK_TREE": "."}
    before = files(made.path)
    head = git(made.path, "rev-parse", "--abbrev-ref", "HEAD")
    run_update(made, status=0, **{variable: str(made.path / places[variable])})
    check_merged(made, before)
    assert git(made.path, "rev-parse", "--abbrev-ref", "HEAD") == head
    assert git(made.path, "diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize("committed_too", [False, True], ids=["saved", "committed"])
def test_an_edit_made_while_an_update_runs_is_kept(
    made: Project, newer: Path, tmp_path: Path, committed_too: bool
) -> None:
    """By a git that edits a file when Copier applies the differences."""
    program = shutil.which("git")
    (tmp_path / "bin").mkdir()
    edit = f"echo '# saved' >> '{made.path}/app/core/health.py'"
    identity = "-c user.name=Test -c user.email=test@example.com"
    if committed_too:
        edit += f"; {program} -C '{made.path}' {identity} commit --quiet --all --message Meanwhile"
    script = f'#!/bin/sh\ncase " $* " in *" apply "*) {edit};; esac\nexec {program} "$@"\n'
    (tmp_path / "bin/git").write_text(script)
    (tmp_path / "bin/git").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    printed = run_update(made, status=1, PATH=path)
    reason = (
        "as when the update began; repeat it"
        if committed_too
        else "health.py: uncommitted; commit or"
    )
    assert reason in printed
    assert status(made.path) == (set() if committed_too else {"M app/core/health.py"})
    assert (made.path / "app/core/health.py").read_text("utf-8").endswith("# saved\n")


def test_an_update_after_an_aborted_one_is_checked_again(
    made: Project, newer: Path, tmp_path: Path
) -> None:
    run_update(made)
    assert check_lost(made) == ""
    git(made.path, "restore", "--source=HEAD", "--staged", "--worktree", ".")
    (tmp_path / "git").mkdir()
    (tmp_path / "git/ignore").write_text("*.ini\n")
    command = [sys.executable, "-m", "copier", "update", "--defaults"]
    run(command, made.path, PYTHONWARNINGS="ignore", XDG_CONFIG_HOME=str(tmp_path))
    assert "alembic.ini: # mine" in check_lost(made, status=1)


def test_a_new_file_that_the_project_ignores_is_reported(made: Project, newer: Path) -> None:
    (newer / "template/notes.txt").write_text("theirs\n")
    commit(newer, "v10001.0.0")
    append(made.path, ".gitignore", "notes.txt\n")
    commit(made.path)
    assert "notes.txt: new file that git ignores; add it with git add --force" in run_update(made)


def test_a_file_that_the_new_version_lacks_stops_an_update_if_it_was_edited(
    made: Project, newer: Path
) -> None:
    (newer / "template/docs/lists.md").unlink()
    commit(newer, "v10001.0.0")
    before = files(made.path)
    printed = run_update(made, status=1)
    assert "docs/lists.md: Mine.\n" in printed
    assert "move a file that the new version lacks to another path (git mv)" in printed
    check_unchanged(made, before, printed)
