"""How a project learns of updates: nox -s template, and the workflow that opens a pull request."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

    assert checks_out_and_updates(made, origin, tmp_path / "nothing") == []
    assert branches(origin) == {"main"}

    release_twice(template)
    calls = checks_out_and_updates(made, origin, tmp_path / "first")
    title = "Update from the template: template-v10001.0.0"
    news = tmp_path / "first/found/news.md"
    asks = "pr|list|--head|template-v10001.0.0|--state|all|--json|number|"
    creates = f"pr|create|--head|template-v10001.0.0|--title|{title}|--body-file|{news}|"
    assert calls == ["auth|setup-git|", asks, creates]
    assert branches(origin) == {"main", "template-v10001.0.0"}
    text = news.read_text("utf-8")
    assert "- What was broken." in text
    assert ("app/core/health.py:1: <<<<<<< before updating" in text) is conflict
    file = git(origin, "show", "template-v10001.0.0:.dockerignore")
    assert file.endswith("!more\n")

    # What somebody has done to the branch since then stays; a pull request may still be missing.
    before = git(origin, "rev-parse", "template-v10001.0.0")
    assert asks in checks_out_and_updates(made, origin, tmp_path / "second")
    assert git(origin, "rev-parse", "template-v10001.0.0") == before


def test_the_workflow_runs_nothing_that_an_update_brings_where_it_has_a_token(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    template = newer_template(repository, tmp_path, made)
    ran = tmp_path / "ran"
    attack = f'echo "$PWD ${{GH_TOKEN-none}}" >> {ran}'
    for script in ("available", "conflicts"):
        code = f"import os\n\nos.system({attack!r})\n"
        (template / "template/updates" / f"{script}.py").write_text(code, "utf-8")
    # A .git folder cannot be committed, but it can be rendered, and Copier's git runs its hooks.
    hooks = template / "template/{{ '.git' }}/hooks"
    hooks.mkdir(parents=True)
    for hook in ("pre-commit", "commit-msg", "pre-push", "post-checkout"):
        (hooks / hook).write_text(f"#!/bin/sh\n{attack}\n", "utf-8")
        (hooks / hook).chmod(0o755)
    release_twice(template)
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(made.path), str(origin))
    checks_out_and_updates(made, origin, tmp_path / "runner")
    assert branches(origin) == {"main", "template-v10001.0.0"}
    assert (tmp_path / "runner/update/.git/hooks/pre-push").exists()
    lines = ran.read_text("utf-8").splitlines()
    assert all(line.endswith(" none") for line in lines)
    assert not [line for line in lines if str(tmp_path / "runner/publish") in line]


def branches(origin: Path) -> set[str]:
    return set(git(origin, "branch", "--format=%(refname:short)").split())


def checks_out_and_updates(made: Project, origin: Path, folder: Path) -> list[str]:
    """Run the workflow in a folder as GitHub would; return the calls of its command line."""
    folder.mkdir()
    text = git(origin, "show", "main:.github/workflows/template.yml")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["update"]["permissions"] == {"contents": "read"}
    assert "env" not in workflow
    assert [name for name, job in workflow["jobs"].items() if "secrets." in str(job)] == ["publish"]
    calls = folder / "calls"
    calls.touch()
    github = folder / "gh"
    github.write_text(f"#!/bin/sh\n(printf '%s|' \"$@\"; echo) >> '{calls}'\necho '[]'\n", "utf-8")
    github.chmod(0o755)
    if run_job(workflow["jobs"]["update"], origin, folder / "update") == "found=true\n":
        run_job(workflow["jobs"]["publish"], origin, folder / "publish")
    return calls.read_text("utf-8").splitlines()


def run_job(job: dict[str, Any], origin: Path, checkout: Path) -> str:
    """Run the commands of a job in a new checkout; return its outputs."""
    folder = checkout.parent
    git(folder, "clone", "--quiet", "--depth", "1", f"file://{origin}", str(checkout))
    outputs = folder / f"outputs-{checkout.name}"
    outputs.touch()
    for step in job["steps"]:
        # The other steps are actions, which copy the repository and the folder between jobs.
        if "run" in step:
            run(
                ["bash", "-e", "-c", step["run"]],
                checkout,
                status=0,
                RUNNER_TEMP=str(folder),
                GITHUB_OUTPUT=str(outputs),
                PATH=f"{folder}{os.pathsep}{os.environ['PATH']}",
                PYTHONWARNINGS="ignore",
                **step.get("env", {}),
            )
    return outputs.read_text("utf-8")
