"""Rendering the template, and running commands in what it renders."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import copier
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE_PARTS = ("CHANGELOG.md", "copier.yml", "naming.jinja", "template", "updates.jinja")
QUESTIONS = {
    name
    for name, question in yaml.safe_load((ROOT / "copier.yml").read_text("utf-8")).items()
    if not name.startswith("_") and question.get("when") is not False and question.get("ask", True)
}
DATABASES = ("postgresql", "mysql", "sqlite")
SECONDS = 600
SECONDS_TO_STOP = 20


def copy_template(destination: Path) -> Path:
    """Copy the template's files, as they are now, to a folder."""
    destination.mkdir(exist_ok=True)
    for part in TEMPLATE_PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, destination / part)
    return destination


def render(
    template: Path, destination: Path, *, version: str | None = None, **answers: Any
) -> Path:
    """Render a project with these answers instead of the defaults.

    Raises ValueError for an answer that no question asks.
    """
    check_names(answers)
    ref = f"v{version}" if version else None
    copier.run_copy(
        str(template), destination, vcs_ref=ref, data=answers, defaults=True, quiet=True
    )
    return destination


def update(project: Path, *, version: str | None = None, **answers: Any) -> None:
    """Update a project to a version, the newest unless told, with these answers instead of its own.

    Raises ValueError as `render` does.
    """
    check_names(answers)
    ref = f"v{version}" if version else None
    copier.run_update(project, vcs_ref=ref, data=answers, defaults=True, overwrite=True, quiet=True)


def check_names(answers: Mapping[str, Any]) -> None:
    """Raise ValueError for an answer to no question: Copier would take the default in silence."""
    if unknown := answers.keys() - QUESTIONS:
        raise ValueError(f"{sorted(unknown)} is no question; known: {sorted(QUESTIONS)}")


@dataclass(frozen=True)
class Served:
    """A project as uvicorn serves it."""

    process: "subprocess.Popen[bytes]"
    address: str
    log: Path


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
    def server(self, *folder: str) -> Iterator[str]:
        """Run a private server of the project, its files in a folder; yield its database's URL."""
        script = str(ROOT / "tests" / "serve_database.py")
        with subprocess.Popen(
            [self.program("python"), script, *folder],
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

    @contextmanager
    def serve(
        self, url: str, application: str = "app.main:create_app", **variables: str
    ) -> Iterator["Served"]:
        """Serve the project, or another application in its folder; each has a log of its own."""
        command = ["-m", "uvicorn", "--factory", application, "--port", "0"]
        with NamedTemporaryFile(dir=self.path.parent, suffix=".log", delete=False) as output:
            process = subprocess.Popen(
                [self.program("python"), *command],
                cwd=self.path,
                env=surroundings(self.path) | {"DATABASE_URL": url} | variables,
                stdout=output,
                stderr=output,
            )
        log = Path(output.name)
        try:
            while not (found := re.search(r"running on (http://[\d.:]+)", log.read_text("utf-8"))):
                assert process.poll() is None, log.read_text("utf-8")
                time.sleep(0.05)
            yield Served(process, found[1], log)
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

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
