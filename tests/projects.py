"""Rendering the template, and running commands in what it renders."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import copier
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE_PARTS = ("copier.yml", "naming.jinja", "template")
QUESTIONS = {
    name
    for name, question in yaml.safe_load((ROOT / "copier.yml").read_text("utf-8")).items()
    if not name.startswith("_") and question.get("when") is not False
}
DATABASES = ("postgresql", "mysql", "sqlite")
SECONDS = 600


def copy_template(destination: Path) -> Path:
    """Copy the template's files, as they are now, to a folder that is no git repository."""
    destination.mkdir()
    for part in TEMPLATE_PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, destination / part)
    return destination


def render(template: Path, destination: Path, **answers: Any) -> Path:
    """Render a project with these answers instead of the defaults.

    Raises ValueError for an answer that no question asks: Copier would take the default in
    silence.
    """
    if unknown := answers.keys() - QUESTIONS:
        raise ValueError(f"{sorted(unknown)} is no question; known: {sorted(QUESTIONS)}")
    copier.run_copy(str(template), destination, data=answers, defaults=True, quiet=True)
    return destination


@dataclass(frozen=True)
class Project:
    """A rendered project, the environment that holds what it needs, and mypy's cache for that."""

    path: Path
    environment: Path
    types: Path

    def run(
        self, *command: str, status: int = 0, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment in the project; fail unless it ends with `status`."""
        programs = Path(self.program("python")).parent
        variables = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "UV_PROJECT_ENVIRONMENT": str(self.environment),
            "MYPY_CACHE_DIR": str(self.types),
            **variables,
        }
        return run(command, self.path, status=status, **variables)

    def python(
        self, *arguments: str, status: int = 0, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        return self.run("python", *arguments, status=status, **variables)

    def with_server(self, *commands: Sequence[str]) -> str:
        """Run commands one after the other on one private server; return what they print."""
        path = str(self.path)
        with self.server() as url:
            done = [self.run(*words, DATABASE_URL=url, PYTHONPATH=path) for words in commands]
        return "".join(command.stdout for command in done)

    @contextmanager
    def server(self) -> Iterator[str]:
        """Run a private server of the project; yield the URL of its database."""
        script = str(ROOT / "tests" / "serve_database.py")
        with subprocess.Popen(
            [self.program("python"), script],
            cwd=self.path,
            env=surroundings(self.path) | {"PYTHONPATH": str(self.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            try:
                yield process.stdout.readline().strip()
            finally:
                process.stdin.close()
                process.wait(SECONDS)

    def sql(self, url: str, *statements: str) -> list[list[Any]]:
        """Execute statements in one transaction; return the rows of the last one."""
        script = str(ROOT / "tests" / "execute_sql.py")
        path = str(self.path)
        printed = self.python(script, *statements, DATABASE_URL=url, PYTHONPATH=path).stdout
        rows: list[list[Any]] = json.loads(printed)
        return rows

    def program(self, name: str) -> str:
        """Return the path of a program of the environment."""
        return str(self.environment / ("Scripts" if sys.platform == "win32" else "bin") / name)


def run(
    command: Sequence[str], folder: Path, *, status: int = 0, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command, its errors among its output; fail with both unless it ends with `status`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=surroundings(folder) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == status, f"{command} gave {done.returncode}:\n{done.stdout}"
    return done


def surroundings(folder: Path) -> dict[str, str]:
    """Return the environment for a command in a folder, without what belongs to this test run."""
    ours = (
        *("PYTEST_", "NOX_", "DATABASE_", "TEST_DATABASE_", "MIGRATION_"),
        *("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"),
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # A nested pytest would close this one's folder to the user under whom root runs PostgreSQL.
    return inherited | {"PYTEST_DEBUG_TEMPROOT": str(folder.parent)}
