"""Run the tests of the base commit on a database that the working tree's revisions migrate."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.settings import PROJECT_ROOT
from tests.conftest import read_test_settings
from tools.migrations import pytest_base

TESTS = "tests/modules"
OPTIONS = ("-p", "pytest_base", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short")


class BaseTestsError(RuntimeError):
    """The tests of the base commit cannot run."""


@dataclass(frozen=True)
class BaseTests:
    """The tests in the folder of the base commit, and the server for their database."""

    folder: Path
    server_url: str
    temporary: Path

    def run(self, targets: list[str], tests: list[str], *, quiet: bool = False) -> list[str]:
        """Return the tests that fail after the database is upgraded to each of the targets.

        Raises BaseTestsError if pytest does not run them.
        """
        file = self.temporary / "failed.json"
        file.unlink(missing_ok=True)
        shutil.copy(pytest_base.__file__, self.temporary / "pytest_base.py")
        output = self.temporary / "output.txt"
        with output.open("wb") as hidden:
            status = wait(
                subprocess.Popen(
                    [*self.command(), *OPTIONS, *tests],
                    cwd=self.folder,
                    env=self.environment(targets),
                    stdout=hidden if quiet else None,
                    # Interrupted by `wait`, and only once.
                    start_new_session=True,
                )
            )
        failed: list[str] = json.loads(file.read_text("utf-8")) if file.exists() else []
        if status == pytest.ExitCode.NO_TESTS_COLLECTED:
            print(f"There are no tests in {TESTS}: nothing was checked.")
        elif status != (1 if failed else 0):
            raise BaseTestsError(
                f"The tests did not run: pytest ended with exit status {status}."
                f" {output.read_text('utf-8')}"
            )
        return failed

    def command(self) -> list[str]:
        """Return the command for pytest: in this environment, unless the base needs another."""
        if self._is_same("pyproject.toml") and self._is_same("uv.lock"):
            return [sys.executable, "-m", "pytest"]
        return [os.environ.get("UV", "uv"), "run", "--quiet", "pytest"]

    def _is_same(self, name: str) -> bool:
        base, own = self.folder / name, PROJECT_ROOT / name
        return not base.exists() or (own.exists() and base.read_bytes() == own.read_bytes())

    def environment(self, targets: list[str]) -> dict[str, str]:
        """Return the variables of pytest, which are those of its plugin, too."""
        # The worktree has an environment of its own: it must not change that of this project.
        own = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
        inherited = {name: value for name, value in os.environ.items() if name not in own}
        upgrade = [sys.executable, "-m", "alembic", "upgrade"]
        return {
            **inherited,
            # For the migrations; the base reads its own.
            **read_test_settings(),
            "TEST_DATABASE_URL": self.server_url,
            "PYTHONPATH": str(self.temporary),
            "COMPAT_PROJECT": str(PROJECT_ROOT),
            "COMPAT_COMMANDS": json.dumps([[*upgrade, target] for target in targets]),
            "COMPAT_FAILED": str(self.temporary / "failed.json"),
        }


def wait(process: "subprocess.Popen[bytes]") -> int:
    """Return the exit status of a process, whose process group is interrupted with this one."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        raise
