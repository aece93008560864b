"""The commands that a copy prints, the demonstration, and adding a module."""

import os
import re
import signal
import sys
import textwrap
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.interruptions import interrupted, remaining_files, surviving_processes
from tests.support.projects import ROOT, copy_template, run

IDENTITY = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The template as a git repository with one release."""
    repository = copy_template(tmp_path / "released")
    run(["git", "init", "--quiet"], repository)
    commit(repository)
    run(["git", "tag", "v0.1.0"], repository)
    return repository


def commit(repository: Path) -> None:
    run(["git", "add", "--all"], repository)
    run(["git", *IDENTITY, "commit", "--quiet", "--message", "State"], repository)


def copier(*arguments: str, folder: Path) -> str:
    return run([sys.executable, "-m", "copier", *arguments], folder).stdout


@pytest.mark.long
def test_commands_printed_after_a_copy_work(
    released: Path, tmp_path: Path, short_folder: Path
) -> None:
    """In a folder with a space and a non-ASCII letter, without a git identity."""
    printed = run(
        [sys.executable, "-m", "copier", "copy", "--defaults", str(released), "new projects/café"],
        tmp_path,
        HOME=str(tmp_path),
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_SYSTEM=os.devnull,
    ).stdout
    lines = re.findall(r"^ {4}(\S.*)$", printed, re.MULTILINE)
    assert lines == ["cd 'new projects/café'", "uv sync", "uv run pytest", "uv run nox -s dev"]
    folder = tmp_path / "new projects" / "café"
    for line in lines[1:3]:
        run(line.split(), folder)
    with interrupted([*lines[3].split(), "--", "--port", "0"], folder, short_folder) as output:
        output.wait_for("Uvicorn running on http")
    run(["uv", "run", "nox"], folder)


def test_message_after_a_copy_lists_answers_and_quotes_the_path(
    released: Path, tmp_path: Path
) -> None:
    """From a commit after the latest tag, whose projects need --vcs-ref HEAD to update."""
    (released / "more").touch()
    commit(released)
    folder = tmp_path / 'it\'s a "new" $(touch executed) `touch executed`'
    data = ("--data", "modules=[order, box]", "--data", "database=sqlite")
    copy = ("copy", "--defaults", "--vcs-ref", "HEAD", *data, str(released))
    printed = copier(*copy, str(folder), folder=tmp_path)
    assert '\n  database: "sqlite"\n  modules: ["order", "box"]\n  features: []\n' in printed
    [cd] = re.findall(r"^ {4}(cd .*)$", printed, re.MULTILINE)
    assert run(["sh", "-c", f"{cd} && pwd"], tmp_path).stdout.strip() == str(folder)
    assert not list(tmp_path.rglob("executed"))
    assert "a commit after the template's latest release" in printed
    assert "    uv run nox -s update -- --vcs-ref HEAD\n" in printed


def test_update_adds_a_module_and_changes_nothing_else(released: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    copier("copy", "--defaults", str(released), str(project), folder=tmp_path)
    run(["git", "init", "--quiet"], project)
    service = project / "app" / "modules" / "item" / "service.py"
    service.write_text(service.read_text("utf-8") + "\n# mine\n", "utf-8")
    (project / "alembic" / "versions" / "0001_initial.py").write_text("# mine\n")
    commit(project)
    copier("update", "--defaults", "--data", "modules=[item, invoice]", folder=project)
    changed = run(["git", "status", "--porcelain"], project).stdout.splitlines()
    assert sorted(line[:2].strip() + line[2:] for line in changed) == [
        "?? app/modules/invoice/",
        "?? tests/modules/test_invoice.py",
        "M .copier-answers.yml",
        "M alembic/env.py",
        "M app/main.py",
    ]


@pytest.mark.long
def test_demo_shows_every_step_and_works_twice(short_folder: Path) -> None:
    nox = [sys.executable, "-m", "nox", "--envdir", str(short_folder / "nox"), "--session", "demo"]
    temporary = short_folder / "temporary"
    temporary.mkdir()
    folder = short_folder / "my shop"
    for again in (False, True):
        printed = run([*nox, "--", str(folder)], ROOT, TMPDIR=str(temporary)).stdout
        assert ("already contains a project" in printed) is again
        for step in (
            "Running upgrade  -> 0001, initial",
            "201 Created",
            '"name": "Lamp"',
            '"next_cursor": null',
            '"name": "Desk lamp"',
            "204 No Content",
            "404 Not Found",
            "No new upgrade operations detected.",
            "    uv run nox -s dev ",
            "    uv run pytest ",
        ):
            assert step in printed
        [cd] = re.findall(r"^ {4}(cd .*)$", printed, re.MULTILINE)
        assert run(["sh", "-c", f"{cd} && pwd"], short_folder).stdout.strip() == str(folder)
        assert (folder / ".venv").exists()
        assert not surviving_processes(temporary)
        assert not remaining_files(temporary)


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_demo_serves_until_interrupted(short_folder: Path, how: signal.Signals) -> None:
    nox = [sys.executable, "-m", "nox", "--envdir", str(short_folder / "nox"), "--session", "demo"]
    with interrupted([*nox, "--", "--serve"], ROOT, short_folder, how) as output:
        printed = output.wait_for("(Ctrl-C stops everything)")
        address = re.search(r"Try it: (http://\S+)", printed)
        assert address
        with urlopen(address[1]) as response:
            assert b"swagger-ui" in response.read()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--sirve"], "invalid arguments ['--sirve']; usage: nox -s demo -- [FOLDER] [--serve]"),
        (["one", "two"], "invalid arguments ['one', 'two']; usage:"),
        (["."], "is not empty; choose another folder"),
    ],
)
def test_demo_rejects_invalid_arguments(
    short_folder: Path, arguments: list[str], reason: str
) -> None:
    nox = [sys.executable, "-m", "nox", "--envdir", str(short_folder / "nox"), "--session", "demo"]
    assert reason in run([*nox, "--", *arguments], ROOT, status=1).stdout


def test_the_documented_import_is_tested() -> None:
    page = (ROOT / "template/docs/database.md.jinja").read_text("utf-8")
    [code] = re.findall(r"```python\n(async def import_all.*?)```", page, re.DOTALL)
    tests = (ROOT / "template/tests/core/test_repository.py").read_text("utf-8")
    assert textwrap.indent(code, "    ") in tests
