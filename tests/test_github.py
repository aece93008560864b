"""The template repository's own files for GitHub: forms, Dependabot, and the release workflow."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.projects import ROOT, Project, run
from tests.support.repositories import commit, git

GITHUB = ROOT / ".github"
CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-02-01

### Added

- Lamps.

## [1.0.0] - 2026-01-01

"""


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", "workflows/*.yml"),
        ("dependabot", "dependabot.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/*_*.yml"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_github_files_match_their_schemas(schema: str, pattern: str) -> None:
    files = list(map(str, GITHUB.glob(pattern)))
    check = ("check_jsonschema", "--builtin-schema", f"vendor.{schema}")
    run([sys.executable, "-m", *check, *files], ROOT)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two tags; only the first one is in tests/releases.toml."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, "utf-8")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "v1.1.0")
    released = git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "tests/releases.toml").write_text(f'"1.1.0" = "{released}"\n', "utf-8")
    commit(tmp_path, "v1.2.0")
    return tmp_path


@pytest.fixture
def notes(repository: Path) -> Callable[..., str]:
    def release_notes(tag: str, status: int = 0) -> str:
        command = [sys.executable, str(GITHUB / "release_notes.py"), tag]
        return run(command, repository, status=status).stdout

    return release_notes


def test_release_notes_are_the_section_of_the_changelog(notes: Callable[..., str]) -> None:
    assert notes("v1.1.0") == "### Added\n\n- Lamps.\n"


def test_annotated_tag_is_compared_by_its_commit(
    repository: Path, notes: Callable[..., str]
) -> None:
    git(repository, "tag", "--force", "--annotate", "--message", "1.1.0", "v1.1.0", "v1.1.0^{}")
    assert notes("v1.1.0") == "### Added\n\n- Lamps.\n"


def test_tag_that_is_not_in_releases_is_rejected(notes: Callable[..., str]) -> None:
    assert "tests/releases.toml: nothing for 1.2.0, but v1.2.0 is " in notes("v1.2.0", status=1)


def test_moved_tag_is_rejected(repository: Path, notes: Callable[..., str]) -> None:
    git(repository, "tag", "--force", "v1.1.0")
    assert "for 1.1.0, but v1.1.0 is " in notes("v1.1.0", status=1)


@pytest.mark.parametrize("version", ["1.0.0", "1.2.0"])
def test_release_without_changelog_entries_is_rejected(
    repository: Path, notes: Callable[..., str], version: str
) -> None:
    sha = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "tag", "--force", f"v{version}")
    (repository / "tests/releases.toml").write_text(f'"{version}" = "{sha}"\n', "utf-8")
    assert f"no entries below '## [{version}] - " in notes(f"v{version}", status=1)


@pytest.mark.parametrize("tag", ["1.1.0", "v1.1", "v1.1.0-rc1"])
def test_tag_of_another_form_is_rejected(notes: Callable[..., str], tag: str) -> None:
    assert f"{tag}: not a release tag; expected vX.Y.Z" in notes(tag, status=1)


def test_pull_requests_of_a_project_show_locks_and_run_the_tests_of_the_base(
    project: Callable[..., Project],
) -> None:
    workflow = yaml.safe_load((project().path / ".github/workflows/ci.yml").read_text("utf-8"))
    job = workflow["jobs"]["revisions"]
    assert job["if"] == "github.event_name == 'pull_request'"
    # The merge commit of the pull request and its first parent.
    assert job["steps"][0]["with"]["fetch-depth"] == 2
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert any('nox -s locks -- "HEAD^1" --markdown' in command for command in commands)
    assert 'uv run nox -s compat -- "HEAD^1"' in commands
