"""Fixtures of tests that open a project in a browser, log in at a provider, or attack accounts."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.accounts import Accounts, serve_accounts
from tests.support.browser import BrowserMissingError, run_browser
from tests.support.projects import DATABASES, Project
from tests.support.real_provider import require_provider


@pytest.fixture
def browser(shared: Path) -> Iterator[Browser]:
    try:
        with run_browser(shared / "chromium") as browser:
            yield browser
    except BrowserMissingError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Where a person finds what a test made to be looked at."""
    folder = Path(os.environ.get("ARTIFACTS", tmp_path)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def packages(shared: Path) -> Path:
    """The folder with the provider's packages."""
    return require_provider(shared)


@pytest.fixture(scope="module", params=DATABASES)
def accounts(
    request: pytest.FixtureRequest,
    lasting_project: Callable[..., Project],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Accounts]:
    """A served project with accounts, on each database."""
    made = lasting_project(request.param, auth="users", features=["jobs", "mail"])
    with serve_accounts(made, tmp_path_factory.mktemp("accounts")) as served:
        yield served
