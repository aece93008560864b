"""The documents of the template: their commands work, and their links exist."""

import re
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.support.projects import ROOT, run
from tests.support.repositories import commit, git
from tests.test_usage import released  # noqa: F401

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/results.md"]
DATABASE_URL = "sqlite:///app.db"


def command_blocks(document: str) -> list[list[str]]:
    """Return the lines of each block of shell commands."""
    text = (ROOT / document).read_text("utf-8")
    return [block.splitlines() for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]


def execute(lines: list[str], folder: Path, **variables: str) -> str:
    """Execute the lines in one shell, with this environment's Copier; return what they print."""
    script = "\n".join(lines).replace("uvx copier", f"'{sys.executable}' -W ignore -m copier")
    return run(["sh", "-e", "-c", script], folder, status=0, **variables).stdout


@pytest.mark.long
def test_readme_commands_create_extend_and_update_a_project(
    released: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    [_, copies, start, add, choose, authenticate, update] = command_blocks("README.md")
    options = " --defaults --data database=sqlite "
    [copy, copy_of_clone] = [line.replace(" copy ", f" copy{options}") for line in copies]
    execute([copy_of_clone], released)
    assert (tmp_path / "my-service/.copier-answers.yml").exists()

    folder = tmp_path / "projects"
    folder.mkdir()
    execute([copy.replace("gh:OWNER/REPOSITORY", str(released))], folder)
    # Serving does not end; tests/test_usage.py does so with the commands that a copy prints.
    serve = start.pop()
    assert serve.startswith("uv run nox -s dev ")
    assert " passed" in execute(start, folder)

    project = folder / "my-service"
    git(project, "init", "--quiet")
    execute(["uv run alembic upgrade head"], project, DATABASE_URL=DATABASE_URL)
    commit(project)
    execute(add, project, DATABASE_URL=DATABASE_URL)
    assert (project / "app/modules/invoice/models.py").exists()
    [revision] = project.glob("alembic/versions/*_add_invoice.py")
    assert 'create_table("invoice"' in re.sub(r"\(\s+", "(", revision.read_text("utf-8"))

    commit(project)
    execute(choose, project, DATABASE_URL=DATABASE_URL)
    assert (project / "app/core/jobs/models.py").exists()
    assert [*project.glob("alembic/versions/*_add_jobs.py")]

    commit(project)
    execute(authenticate, project)
    assert (project / "app/modules/invoice/permissions.py").exists()

    commit(project)
    look, *updates = update
    execute([look], project)
    for line in updates:
        execute([line], project)
        commit(project)
    assert "model_discovery: scan" in (project / ".copier-answers.yml").read_text("utf-8")


def test_sessions_named_in_documents_exist() -> None:
    listed = run([sys.executable, "-m", "nox", "--list"], ROOT).stdout
    sessions = set(re.findall(r"^[*-] (\w+)", listed, re.MULTILINE))
    lines = chain.from_iterable([*command_blocks("README.md"), *command_blocks("CONTRIBUTING.md")])
    named = set(re.findall(r"(?<!uv run )\bnox -s (\w+)", "\n".join(lines)))
    assert named >= {"demo", "lint", "tests", "bench"}
    assert named <= sessions


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_exist(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", document.read_text("utf-8"))
    missing = [
        target
        for target in targets
        if not target.startswith("http") and not (document.parent / target).exists()
    ]
    assert missing == []


def test_decisions_are_numbered_and_listed() -> None:
    folder = ROOT / "docs/decisions"
    records = sorted(folder.glob("0*.md"))
    index = (folder / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", index, re.MULTILINE)
    assert [file for _, file, _ in listed] == [record.name for record in records]
    for number, (record, (shown, _, title)) in enumerate(zip(records, listed, strict=True), 1):
        text = record.read_text("utf-8")
        assert record.name.startswith(f"{number:04}-")
        assert shown == str(number)
        assert text.startswith(f"# {number}. {title}\n")
        for part in ("Context", "Decision", "Consequences"):
            assert text.count(f"\n**{part}.** ") == 1, record
