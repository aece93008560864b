"""Run the migrations and the rendered project's tests on one server."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.servers.discovery import Target
from tests.support.projects import ROOT, Project, clean_environment

ALL_PROCESSORS = ("--numprocesses", "auto", "--dist", "worksteal")
SELECT_VERSION = {
    "postgresql": "SHOW server_version",
    "mysql": "SELECT version()",
    "sqlite": "SELECT sqlite_version()",
}


@dataclass(frozen=True)
class Result:
    """What ran on a server: the versions, the number of tests by outcome, and the seconds."""

    server: str
    python: str
    migrations: Counter[str]
    project: Counter[str]
    seconds: float

    @property
    def has_passed(self) -> bool:
        parts = (self.migrations, self.project)
        return all(counts["passed"] and not counts["failed"] for counts in parts)


def run_target(target: Target, folder: Path, arguments: Sequence[str]) -> Result:
    """Run the tests on a target; files that targets share lie in `folder`.

    `arguments` are pytest's for the tests of migrations, instead of all processors.
    """
    started = time.monotonic()
    python = install_tests(target.python, folder)
    shared = folder / f"shared-{python.parents[1].name}"
    shared.mkdir(exist_ok=True)
    variables = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "TEST_SHARED_FOLDER": str(shared),
    }
    made = install_project(target, python, variables)
    with serve(target, made) as url:
        server, version = server_version(made, url), python_version(made)
        given = {} if target.database == "sqlite" else {"TEST_DATABASE_URL": url}
        tests = ["tests/migrations", "--database", target.database, *(arguments or ALL_PROCESSORS)]
        migrations = run_pytest(python, ROOT, variables | given, tests)
        tests = ["--all", *ALL_PROCESSORS]
        project = run_pytest(Path(made.program("python")), made.path, given, tests)
    return Result(server, version, migrations, project, time.monotonic() - started)


def install_project(target: Target, python: Path, variables: dict[str, str]) -> Project:
    """Return a rendered project with what it needs, which the tests of migrations also use."""
    # With a URL, no server has to be installed.
    given = {"TEST_DATABASE_URL": target.url} if target.url else {}
    command = [str(python), "-m", "tests.support.environments", target.database]
    install(command, variables | given)
    shared = Path(variables["TEST_SHARED_FOLDER"])
    environment = shared / f"environment-{target.database}"
    return Project(shared / f"installed-{target.database}", environment, shared / "types")


def install_tests(python: str, folder: Path) -> Path:
    """Return a Python with what the tests of the template need; this one has it."""
    if python == sys.executable:
        return Path(python)
    environment = folder / Path(python).name
    install(["uv", "venv", "--quiet", "--allow-existing", "--python", python, str(environment)])
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    group = f"{ROOT / 'pyproject.toml'}:tests"
    packages = ("uv", "pip", "install", "--quiet", "--group", group)
    install([*packages, "--python", str(programs / "python")])
    return programs / "python"


@contextmanager
def serve(target: Target, made: Project) -> Iterator[str]:
    """Yield the URL of the target's server, which is started if the target has no URL."""
    with TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        if target.url:
            yield target.url
        elif target.database == "sqlite":
            yield f"sqlite:///{folder}/app.db"
        else:
            programs = [target.programs] if target.programs else []
            with made.private_server(Path(folder), *programs) as url:
                yield url


def run_pytest(
    python: Path, folder: Path, variables: Mapping[str, str], arguments: Sequence[str]
) -> Counter[str]:
    """Run pytest; return the number of tests by outcome, of which a broken run has one failed."""
    with TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        command = [str(python), "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
        environment = {**clean_environment(folder), **variables}
        status = run_interruptibly(command, folder, environment)
        if not report.exists():
            return Counter(failed=1)
        counts = count_outcomes(ElementTree.parse(report).getroot())
    if status and not counts["failed"]:
        counts["failed"] = 1
    return counts


def run_interruptibly(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Run a command and return its status; pass an interrupt on, and wait for its end."""
    # In a session of its own, a Ctrl-C does not reach it a second time.
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            raise


def count_outcomes(report: ElementTree.Element) -> Counter[str]:
    """Return the number of tests by outcome in a report in JUnit's format."""
    counts: Counter[str] = Counter()
    for suite in report.iter("testsuite"):
        number = {name: int(suite.get(name, 0)) for name in ("tests", "errors", "failures")}
        skipped = int(suite.get("skipped", 0))
        failed = number["errors"] + number["failures"]
        counts += Counter(passed=number["tests"] - failed - skipped, failed=failed, skipped=skipped)
    return counts


def server_version(made: Project, url: str) -> str:
    """Return the name and the version of a server, as it says them."""
    [[text]] = made.sql(url, SELECT_VERSION[made.database])
    names = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite"}
    name = "MariaDB" if "MariaDB" in text else names[made.database]
    return f"{name} {re.split(r'[ -]', text)[0]}"


def python_version(made: Project) -> str:
    show = "import platform; print(platform.python_version())"
    return made.python("-c", show).stdout.strip()


def install(command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
    """Run a command in the repository; raise CalledProcessError if it fails."""
    subprocess.run(command, cwd=ROOT, env={**os.environ, **(variables or {})}, check=True)
