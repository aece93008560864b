"""The links of a project's documentation work, and its curl commands respond as described."""

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import follow_page
from tests.support.projects import DATABASES, Project, render, run

LINK = re.compile(r"\[[^]]*\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
BASH = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A command, the status of its response, and a part of it.
CURL = re.compile(r"^(curl .*?) +# (\d{3})(?:, (.*))?$", re.MULTILINE)
VARIABLE = re.compile(r"\b([A-Z_]+)=(\S+)")
ADDRESS = "http://127.0.0.1:8000"
PAGES = ("http", "bulk_creation", "aggregates", "observability")
ANSWERS: dict[str, dict[str, Any]] = {
    "none": {},
    "jobs": {"features": ["jobs"]},
    "oidc": {"auth": "oidc"},
    "users": {"auth": "users", "features": ["jobs", "mail"]},
}


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("answers", ANSWERS)
def test_links_lead_to_files_and_headings(
    template: Path, tmp_path: Path, name: str, answers: str
) -> None:
    made = render(template, tmp_path / "project", database=name, **ANSWERS[answers])
    pages = [made / "README.md", *(made / "docs").glob("*.md")]
    links = [(page, *link) for page in pages for link in LINK.findall(page.read_text("utf-8"))]
    assert len(links) > len(pages)
    for page, path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {path}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {path}#{anchor}"


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("answers", ANSWERS)
def test_the_readme_links_to_every_page(
    template: Path, tmp_path: Path, name: str, answers: str
) -> None:
    made = render(template, tmp_path / "project", database=name, **ANSWERS[answers])
    linked = {path for path, _ in LINK.findall((made / "README.md").read_text("utf-8"))}
    assert linked == {f"docs/{page.name}" for page in (made / "docs").glob("*.md")}


def test_curl_commands_respond_as_described(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    run(["git", "init", "--quiet"], made.path)
    for name in ("bulk_creation", "aggregates"):
        follow_page(made, name)
    url = f"sqlite:///{made.path}/app.db"
    made.run("alembic", "upgrade", "head", DATABASE_URL=url)
    pages = [(made.path / f"docs/{name}.md").read_text("utf-8") for name in PAGES]
    blocks = [block for page in pages for block in BASH.findall(page) if CURL.search(block)]
    assert sum(len(CURL.findall(block)) for block in blocks) >= 13
    [create] = re.findall(r"^one=\S+.*\)", pages[0], re.MULTILINE)
    with made.serve(url) as plain, ExitStack() as servers:
        environment = {"api": f"{plain.address}/api/v1/items"}
        environment["one"] = shell(f"{create}; echo -n $one", environment)
        for block in blocks:
            variables = dict(VARIABLE.findall(block.partition("curl")[0]))
            served = plain
            if variables:
                served = servers.enter_context(made.serve(url, **variables))
            for command, status, part in CURL.findall(block):
                printed = shell(
                    f"{command} --silent".replace(ADDRESS, served.address),
                    environment | {"api": f"{served.address}/api/v1/items"},
                )
                assert printed.startswith(f"HTTP/1.1 {status} "), f"{command}\n{printed}"
                assert part in printed, f"{command}\n{printed}"


def shell(command: str, environment: dict[str, str]) -> str:
    return subprocess.check_output(["bash", "-c", command], env=os.environ | environment, text=True)
