"""The documentation of a project that is served, in a real browser without internet."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.support.projects import COMMAND_TIMEOUT, Project, clean_environment

SERVE = ["uvicorn", "app.main:app", "--log-level", "warning"]
VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", event =>
        window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""


@contextmanager
def served(project: Project) -> Iterator[str]:
    """Migrate and serve a project; yield its address."""
    with project.server() as database, socket.create_server(("127.0.0.1", 0)) as listener:
        project.run("alembic", "upgrade", "head", DATABASE_URL=database)
        with subprocess.Popen(
            [project.program("python"), "-m", *SERVE, "--fd", str(listener.fileno())],
            cwd=project.path,
            env=clean_environment(project.path) | {"DATABASE_URL": database},
            pass_fds=[listener.fileno()],
        ) as server:
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.terminate()
                server.wait(COMMAND_TIMEOUT)


def test_the_docs_page_sends_requests_without_internet(
    project: Callable[..., Project], browser: Browser, artifacts: Path
) -> None:
    complaints: list[str] = []
    requested: list[str] = []
    with served(project("sqlite")) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.add_init_script(VIOLATIONS)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"{address}/docs")
        expect(page.locator("#operations-item-item-list")).to_contain_text("/api/v1/items")
        page.screenshot(path=artifacts / "docs.png")
        create_an_item(page)
        page.screenshot(path=artifacts / "docs-execute.png", full_page=True)
        complaints += page.evaluate("window.violations")
    assert requested
    assert [url for url in requested if not url.startswith((f"{address}/", "data:"))] == []
    assert complaints == []


def create_an_item(page: Page) -> None:
    operation = page.locator("#operations-item-item-create")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("textarea").fill('{"name": "made in a browser"}')
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text("201")
    expect(answer).to_contain_text("made in a browser")
