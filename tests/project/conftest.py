"""Fixtures of tests that open a project in a browser, or log in at a provider."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import BrowserMissingError, run_browser
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
