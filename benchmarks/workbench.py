"""Common ground of all measurements: rendered projects, interpreters and rounds."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.projects import Project, copy_template, render, run

# Requests go to the last module, so that the cost of all others is included.
OTHERS = [f"module_{number}" for number in range(1, 20)]
MODULES = {2: ["module_1", "item"], 20: [*OTHERS, "item"]}
PEERS_NEED = ">=3.12"
VERSIONS = """
import platform
from importlib.metadata import version
names = ("fastapi", "sqlalchemy", "asyncpg", "pydantic", "uvicorn", "alembic")
print(", ".join([f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in names)]))
"""


@dataclass(frozen=True)
class Workbench:
    """A folder for all files, the number of rounds, and the duration of a load in seconds."""

    folder: Path
    rounds: int
    seconds: float

    @cached_property
    def template(self) -> Path:
        return copy_template(self.folder / "template")

    @cached_property
    def python_for_peers(self) -> str | None:
        """An interpreter that other templates support, or None, which excludes them."""
        find = ["uv", "python", "find", PEERS_NEED]
        found = subprocess.run(find, capture_output=True, text=True, check=False)
        return found.stdout.strip() or None

    @property
    def has_peers(self) -> bool:
        return self.python_for_peers is not None

    @property
    def python(self) -> str:
        """The interpreter for all measurements."""
        return self.python_for_peers or sys.executable

    @cached_property
    def project(self) -> Project:
        """The default project, installed as in its Dockerfile."""
        path = render(self.template, self.folder / "project")
        environment = self.folder / "environment"
        run(
            ["uv", "sync", "--quiet", "--python", self.python],
            path,
            UV_PROJECT_ENVIRONMENT=str(environment),
            UV_COMPILE_BYTECODE="1",
        )
        return Project(path, environment, self.folder / "types")

    def versions(self) -> str:
        """Return the versions of Python and the main packages."""
        return self.project.python("-c", VERSIONS).stdout.strip()

    def rendered(self, name: str, **answers: Any) -> Project:
        """Render another project, which runs in the environment of the default one."""
        path = render(self.template, self.folder / name, **answers)
        return Project(path, self.project.environment, self.project.types)

    def in_turn(
        self,
        actions: Mapping[str, Callable[[], None]],
        tidy: Callable[[], None] = lambda: None,
    ) -> dict[str, list[float]]:
        """Return the seconds of each action in each round; the first round is not counted.

        The actions alternate, so that noise affects them equally; `tidy` runs before each.
        """
        seconds: dict[str, list[float]] = {name: [] for name in actions}
        for number in range(self.rounds + 1):
            for name, action in actions.items():
                tidy()
                began = time.perf_counter()
                action()
                if number:
                    seconds[name].append(time.perf_counter() - began)
        return seconds


def command(words: Sequence[str], folder: Path, **variables: str) -> Callable[[], None]:
    """Return an action that runs a process; it raises AssertionError if that fails."""

    def action() -> None:
        run(words, folder, status=0, **variables)

    return action
