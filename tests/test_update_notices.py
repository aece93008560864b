"""How a project learns of updates: nox -s template, and the workflow that opens a pull request."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.projects import Project, run
from tests.repositories import commit, git
from tests.test_updates import append, newer_template, substitute

UNTAGGED = "## [10002.0.0] - 2027-03-01\n\n- What has no tag yet.\n\n"
NEWS = """## [10001.0.0] - 2027-02-01

### Added

- Something else.

## [10000.0.0] - 2027-01-01

### Fixed

- What was broken.

"""


def release_twice(template: Path) -> None:
    substitute(template, "CHANGELOG.md", "## [0.2.0]", f"{UNTAGGED}{NEWS}## [0.2.0]")
    append(template, "template/.dockerignore", "!more\n")
    substitute(template, "template/app/core/health.py", '"""', '"""Theirs. ')
    commit(template, "v10000.0.0")
    commit(template, "v10001.0.0")


def test_what_is_new_is_told_from_the_changelog(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    template = newer_template(repository, tmp_path, made)
    printed = made.run("nox", "-s", "template").stdout
    assert "The template has nothing newer than 9999.0.0" in printed
    release_twice(template)
    printed = made.run("nox", "-s", "template").stdout
    assert "The template has version 10001.0.0; this project follows 9999.0.0." in printed
    assert NEWS.strip() in printed
    assert "[0.2.0]" not in printed
    assert "10002" not in printed
    assert "[Unreleased]" not in printed
    assert git(made.path, "status", "--porcelain") == ""
    # The same under a short address, which git is told the place of.
    substitute(made.path, ".copier-answers.yml", str(template), "gh:somebody/template.git")
    shortened = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{template}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/somebody/template.git",
    }
    printed = made.run("nox", "-s", "template", **shortened, status=0).stdout
    assert NEWS.strip() in printed


def test_a_template_that_is_gone_is_one_line(
    committed: Callable[..., Project], repository: Path
) -> None:
    made = committed()
    substitute(made.path, ".copier-answers.yml", str(repository), "git+file:///nowhere/at/all.git")
    printed = made.run("nox", "-s", "template", status=1).stdout
    assert "/nowhere/at/all" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("conflict", [False, True], ids=["merged", "conflict"])
def test_the_workflow_pushes_one_branch_for_each_version(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, conflict: bool
) -> None:
    """In the shell that GitHub gives to its steps; GitHub itself is a script that notes calls."""
    made = committed()
    template = newer_template(repository, tmp_path, made)
    if conflict:
        substitute(made.path, "app/core/health.py", '"""', '"""Mine. ')
        commit(made.path)
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(made.path), str(origin))

    assert checks_out_and_updates(made, origin, tmp_path / "nothing") == {}
    assert branches(origin) == {"main"}

    release_twice(template)
    told = checks_out_and_updates(made, origin, tmp_path / "first")
    assert told == {"BRANCH": "template-v10001.0.0"}
    calls = (tmp_path / "first" / "calls").read_text("utf-8").splitlines()
    title = "Update from the template: template-v10001.0.0"
    body = str(tmp_path / "first" / "news.md")
    assert calls == [
        "pr|list|--head|template-v10001.0.0|--state|all|--json|number|",
        f"pr|create|--head|template-v10001.0.0|--title|{title}|--body-file|{body}|",
    ]
    assert branches(origin) == {"main", "template-v10001.0.0"}
    assert "- What was broken." in (tmp_path / "first" / "news.md").read_text("utf-8")
    where = (tmp_path / "first" / "conflicts.txt").read_text("utf-8")
    assert ("app/core/health.py:1: <<<<<<< before updating" in where) is conflict
    file = git(origin, "show", "template-v10001.0.0:.dockerignore")
    assert file.endswith("!more\n")

    # What somebody has done to the branch since then stays; a pull request may still be missing.
    before = git(origin, "rev-parse", "template-v10001.0.0")
    assert checks_out_and_updates(made, origin, tmp_path / "second") == told
    assert git(origin, "rev-parse", "template-v10001.0.0") == before


def branches(origin: Path) -> set[str]:
    return set(git(origin, "branch", "--format=%(refname:short)").split())


def checks_out_and_updates(made: Project, origin: Path, folder: Path) -> dict[str, str]:
    """Do in a folder what a runner does; return the variables that the steps set."""
    folder.mkdir()
    checkout = folder / "checkout"
    git(folder, "clone", "--quiet", "--depth", "1", f"file://{origin}", str(checkout))
    workflow = yaml.safe_load((checkout / ".github/workflows/template.yml").read_text("utf-8"))
    [job] = workflow["jobs"].values()
    variables = folder / "variables"
    variables.touch()
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    assert [script for script in scripts if "gh pr create" in script] == scripts[2:]
    github = folder / "gh"
    github.write_text(
        f"#!/bin/sh\n(printf '%s|' \"$@\"; echo) >> '{folder}/calls'\necho '[]'\n", "utf-8"
    )
    github.chmod(0o755)
    told: dict[str, str] = {}
    for script in scripts:
        if script != scripts[2] or "BRANCH" in told:
            run(
                ["bash", "-e", "-c", script],
                checkout,
                status=0,
                RUNNER_TEMP=str(folder),
                GITHUB_ENV=str(variables),
                PATH=f"{folder}{os.pathsep}{os.environ['PATH']}",
                PYTHONWARNINGS="ignore",
                **told,
            )
        told = dict(line.split("=", 1) for line in variables.read_text("utf-8").splitlines())
    return told
