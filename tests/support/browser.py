"""A headless Chromium: the machine's own, or one that npm delivers without its own download."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.support.environments import create_once
from tests.support.projects import run

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Holds the program and the libraries that a server does not have; for x86-64 Linux alone.
PACKAGE = "@sparticuz/chromium@153"
UNPACK = "import chromium from '@sparticuz/chromium'; await chromium.executablePath()"
MISSING = "no Chromium is on the PATH; install one: apt-get install chromium"
OPTIONS = (
    # Chromium's sandbox refuses to run as root.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class BrowserMissingError(Exception):
    """No browser is installed, and none can be installed."""


@contextmanager
def run_browser(folder: Path) -> Iterator[Browser]:
    """Run a browser that reaches this machine alone; one that npm delivers goes to the folder.

    Raises BrowserMissingError.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    variables: dict[str, str | float | bool] = {**os.environ}
    if not found:
        if (sys.platform, platform.machine()) != ("linux", "x86_64") or not shutil.which("npm"):
            raise BrowserMissingError(MISSING)
        found = str(create_once(folder, lambda: deliver(folder)) / "chromium")
        variables["LD_LIBRARY_PATH"] = str(folder / "al2023" / "lib")
        variables["FONTCONFIG_FILE"] = str(folder / "fonts.conf")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS, env=variables)
        try:
            yield browser
        finally:
            browser.close()


def deliver(folder: Path) -> None:
    """Install the package, and let it unpack the program into the folder."""
    folder.mkdir(exist_ok=True)
    quiet = ("--silent", "--ignore-scripts", "--no-audit", "--no-fund")
    run(["npm", "install", *quiet, PACKAGE], folder)
    run(
        ["node", "--input-type=module", "--eval", UNPACK],
        folder,
        TMPDIR=str(folder),
        # Unpack the libraries as well.
        AWS_EXECUTION_ENV="AWS_Lambda_nodejs24.x",
    )
    # The package's own names /tmp, and without fonts there is no text.
    fonts = f"<fontconfig><dir>{folder / 'fonts'}</dir><cachedir>{folder}</cachedir></fontconfig>"
    (folder / "fonts.conf").write_text(fonts, "utf-8")
