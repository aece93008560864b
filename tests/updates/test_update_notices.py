"""Update notices: `nox -s template`, and the workflow that opens a pull request."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.projects import Project, run
from tests.support.repositories import RELEASES, commit, git
from tests.updates.test_updates import append, newer_template, substitute

LATEST = f"## [{[*RELEASES][-1]}]"
UNTAGGED = "## [10002.0.0] - 2027-03-01\n\n- Not tagged yet.\n\n"
TABLE = "{% set moves = {"
NEWS = """## [10001.0.0] - 2027-02-01

### Added

- Another feature.

## [10000.0.0] - 2027-01-01

### Fixed

- A broken check.

"""


def release_twice(template: Path) -> None:
    substitute(template, "CHANGELOG.md", LATEST, f"{UNTAGGED}{NEWS}{LATEST}")
    append(template, "template/.dockerignore", "!more\n")
    substitute(template, "template/app/core/health.py", '"""', '"""Theirs. ')
    commit(template, "v10000.0.0")
    commit(template, "v10001.0.0")


def test_the_template_session_prints_the_changelog_of_newer_versions(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    template = newer_template(repository, tmp_path, made)
    printed = made.run("nox", "-s", "template").stdout
    assert "This project is up to date with the template, version 9999.0.0." in printed
    release_twice(template)
    printed = made.run("nox", "-s", "template").stdout
    assert "The template has version 10001.0.0; this project follows 9999.0.0." in printed
    assert NEWS.strip() in printed
    assert LATEST not in printed
    assert "10002" not in printed
    assert "[Unreleased]" not in printed
    assert git(made.path, "status", "--porcelain") == ""
    # The same with a gh: address, which git maps to the local repository.
    substitute(made.path, ".copier-answers.yml", str(template), "gh:example/template.git")
    shortened = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{template}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/example/template.git",
    }
    printed = made.run("nox", "-s", "template", **shortened, status=0).stdout
    assert NEWS.strip() in printed


def test_an_unreachable_template_is_reported_in_one_line(
    committed: Callable[..., Project], repository: Path
) -> None:
    made = committed()
    substitute(made.path, ".copier-answers.yml", str(repository), "git+file:///nowhere/at/all.git")
    printed = made.run("nox", "-s", "template", status=1).stdout
    assert "/nowhere/at/all" in printed
    assert "Traceback" not in printed


@pytest.mark.long
@pytest.mark.parametrize("conflict", [False, True], ids=["merged", "conflict"])
def test_the_workflow_pushes_one_branch_per_version(
    committed: Callable[..., Project], repository: Path, tmp_path: Path, conflict: bool
) -> None:
    """In the shell of GitHub Actions; a script that records its calls replaces `gh`."""
    made = committed()
    template = newer_template(repository, tmp_path, made)
    if conflict:
        substitute(made.path, "app/core/health.py", '"""', '"""Mine. ')
        commit(made.path)
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(made.path), str(origin))

    assert run_workflow(made, origin, tmp_path / "nothing") == []
    assert branches(origin) == {"main"}

    release_twice(template)
    calls = run_workflow(made, origin, tmp_path / "first")
    title = "Update to template v10001.0.0"
    news = tmp_path / "first/found/news.md"
    asks = "pr|list|--head|template-v10001.0.0|--state|all|--json|number|"
    creates = f"pr|create|--head|template-v10001.0.0|--title|{title}|--body-file|{news}|"
    assert calls == ["auth|setup-git|", asks, creates]
    assert branches(origin) == {"main", "template-v10001.0.0"}
    text = news.read_text("utf-8")
    assert "- A broken check." in text
    assert ("app/core/health.py:1: <<<<<<< before updating" in text) is conflict
    file = git(origin, "show", "template-v10001.0.0:.dockerignore")
    assert file.endswith("!more\n")

    # An existing branch is not overwritten; its pull request may still be missing.
    before = git(origin, "rev-parse", "template-v10001.0.0")
    assert asks in run_workflow(made, origin, tmp_path / "second")
    assert git(origin, "rev-parse", "template-v10001.0.0") == before


@pytest.mark.long
def test_the_workflow_applies_edits_of_moved_files_at_their_new_paths(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    template = newer_template(repository, tmp_path, made)
    append(made.path, "tools/schema.py", "# mine\n")
    commit(made.path)
    git(template, "mv", "template/tools/schema.py", "template/tools/drawing.py")
    move = "{'moved_to': 'tools/drawing.py', 'since': '0.3.0', 'moved_in': '10000.0.0'}"
    substitute(template, "moves.jinja", TABLE, f"{TABLE}'tools/schema.py': {move},")
    release_twice(template)
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(made.path), str(origin))
    run_workflow(made, origin, tmp_path / "runner")
    assert git(origin, "show", "template-v10001.0.0:tools/drawing.py").endswith("# mine\n")
    news = (tmp_path / "runner/found/news.md").read_text("utf-8")
    assert "tools/schema.py: edits applied in tools/drawing.py" in news
    assert "<<<<<<<" not in news


def test_the_workflow_job_with_a_write_token_runs_no_code_from_the_update(
    committed: Callable[..., Project], repository: Path, tmp_path: Path
) -> None:
    made = committed()
    template = newer_template(repository, tmp_path, made)
    ran = tmp_path / "ran"
    attack = f'echo "$PWD ${{GH_TOKEN-none}}" >> {ran}'
    for script in ("available", "conflicts"):
        code = f"import os\n\nos.system({attack!r})\n"
        (template / "template/tools/updates" / f"{script}.py").write_text(code, "utf-8")
    # A .git folder cannot be committed but can be rendered, and git run by Copier runs its hooks.
    hooks = template / "template/{{ '.git' }}/hooks"
    hooks.mkdir(parents=True)
    for hook in ("pre-commit", "commit-msg", "pre-push", "post-checkout"):
        (hooks / hook).write_text(f"#!/bin/sh\n{attack}\n", "utf-8")
        (hooks / hook).chmod(0o755)
    release_twice(template)
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(made.path), str(origin))
    run_workflow(made, origin, tmp_path / "runner")
    assert branches(origin) == {"main", "template-v10001.0.0"}
    # What was rendered there reaches no repository but the temporary one.
    assert not (tmp_path / "runner/update/.git/hooks/pre-push").exists()
    assert not ran.exists()


def branches(origin: Path) -> set[str]:
    return set(git(origin, "branch", "--format=%(refname:short)").split())


def run_workflow(made: Project, origin: Path, folder: Path) -> list[str]:
    """Run the workflow in a folder as GitHub would; return the recorded calls of `gh`."""
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
    """Run a job's commands in a new checkout; return its outputs."""
    folder = checkout.parent
    git(folder, "clone", "--quiet", "--depth", "1", f"file://{origin}", str(checkout))
    outputs = folder / f"outputs-{checkout.name}"
    outputs.touch()
    for step in job["steps"]:
        # The other steps are actions that transfer the repository and the artifact.
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
