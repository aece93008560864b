"""A served project and a certified OpenID Connect provider: tokens, new keys, outages, the docs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.project.test_interactive_docs import VIOLATIONS, create_an_item
from tests.support.projects import Project, Served
from tests.support.real_provider import (
    AUDIENCE,
    DOCS,
    MACHINE,
    Provider,
    decode,
    run_provider,
)

PATH = "/api/v1/items"
TIMEOUT = 30
# Seconds: the application asks for a new key as soon as it sees one.
COOLDOWN = "0.2"


@pytest.fixture
def provider(packages: Path) -> Iterator[Provider]:
    with run_provider(packages) as running:
        yield running


@pytest.fixture
def made(project: Callable[..., Project], database: str) -> Project:
    return project(database, auth="oidc")


@contextmanager
def serve(made: Project, issuer: str, **variables: str) -> Iterator[Served]:
    """Migrate the project and serve it for the tokens of an issuer."""
    variables = {
        "OIDC_ISSUER": issuer,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_REFETCH_COOLDOWN": COOLDOWN,
        **variables,
    }
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        with made.serve(url, **variables) as served:
            yield served


def get(served: Served, token: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(served.address + PATH, headers=headers, timeout=TIMEOUT)


def wait_for(served: Served, token: str, status: int) -> requests.Response:
    """Repeat a request until it has this status."""
    deadline = time.monotonic() + TIMEOUT
    while (response := get(served, token)).status_code != status:
        assert time.monotonic() < deadline, response.text
        time.sleep(0.1)
    return response


def test_tokens_of_a_certified_provider_are_accepted(made: Project, provider: Provider) -> None:
    reader, writer = provider.token(["item:read"]), provider.user_token("alice")
    with serve(made, provider.issuer) as served:
        assert get(served).status_code == 401
        assert get(served, reader).status_code == 200
        headers = {"Authorization": f"Bearer {reader}"}
        refused = requests.post(served.address + PATH, json={}, headers=headers, timeout=TIMEOUT)
        assert refused.status_code == 403
        assert 'scope="item:write"' in refused.headers["WWW-Authenticate"]
        headers = {"Authorization": f"Bearer {writer}"}
        lamp = {"name": "Lamp"}
        created = requests.post(served.address + PATH, json=lamp, headers=headers, timeout=TIMEOUT)
        assert created.status_code == 201
        other = provider.token(audience="https://other.example.com")
        assert "meant for another audience" in get(served, other).json()["detail"]
        log = served.log.read_text("utf-8")
    assert f'"user_id":"{MACHINE}"' in log
    subject = decode(writer)[1]["sub"]
    assert f'"user_id":"{subject}"' in log
    for part in (*reader.split("."), *writer.split("."), *other.split(".")):
        assert part not in log


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_new_keys_are_used_and_withdrawn_ones_are_not(
    project: Callable[..., Project], packages: Path, algorithm: str
) -> None:
    with (
        run_provider(packages, algorithm=algorithm) as provider,
        serve(project("sqlite", auth="oidc"), provider.issuer) as served,
    ):
        first = provider.token()
        assert get(served, first).status_code == 200
        provider.rotate_keys(keep_old=True)
        second = provider.token()
        time.sleep(float(COOLDOWN))
        assert [get(served, token).status_code for token in (first, second)] == [200, 200]
        provider.rotate_keys(keep_old=False)
        third = provider.token()
        time.sleep(float(COOLDOWN))
        assert get(served, third).status_code == 200
        assert [get(served, token).status_code for token in (first, second)] == [401, 401]


def test_the_provider_may_be_down(project: Callable[..., Project], provider: Provider) -> None:
    made, token = project("sqlite", auth="oidc"), provider.token()
    provider.stop()
    with serve(made, provider.issuer) as served:
        down = get(served, token)
        assert (down.status_code, "Retry-After" in down.headers) == (503, True)
        assert get(served).status_code == 401
        health = requests.get(f"{served.address}/health/ready", timeout=TIMEOUT)
        assert health.status_code == 200
        provider.start()
        wait_for(served, token, 200)
        provider.stop()
        time.sleep(float(COOLDOWN))
        assert get(served, token).status_code == 200


def test_the_docs_page_logs_in_with_a_code_and_pkce(
    project: Callable[..., Project], packages: Path, browser: Browser, artifacts: Path
) -> None:
    complaints: list[str] = []
    redirect = "/docs/oauth2-redirect"
    with (
        run_provider(packages, default_audience=AUDIENCE) as provider,
        serve(
            project("sqlite", auth="oidc"),
            provider.issuer,
            OIDC_DOCS_CLIENT_ID=DOCS,
            OIDC_DOCS_SCOPES="item:read,item:write",
        ) as served,
    ):
        provider.redirect_uris = [served.address + redirect]
        provider.restart()
        # Its metadata may have been fetched during the restart, in vain.
        wait_for(served, provider.token(), 200)
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.add_init_script(VIOLATIONS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        # Swagger UI fetches the provider's metadata last.
        page.goto(f"{served.address}/docs", wait_until="networkidle")
        log_in(page)
        page.screenshot(path=artifacts / "docs-logged-in.png")
        create_an_item(page)
        complaints += page.evaluate("window.violations")
        allowed = (f"{served.address}/", f"{provider.issuer}/token", "data:")
        assert [url for url in requested if not url.startswith(allowed)] == []
    assert complaints == []


def log_in(page: Page) -> None:
    """Log in as in a browser: the provider's pages open in a window of their own."""
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".auth-container").first
    for box in dialog.locator("input[type=checkbox]").all():
        box.check(force=True)
    with page.expect_popup() as opened:
        dialog.get_by_role("button", name="Apply given OAuth2 credentials").click()
    popup = opened.value
    popup.locator("[name=login]").fill("alice")
    popup.locator("[name=password]").fill("any")
    popup.get_by_role("button", name="Sign-in").click()
    popup.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("heading", name="Authorized")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
