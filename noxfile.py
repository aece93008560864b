"""`nox` runs everything that must be green; `nox -s demo` shows what the template gives."""

import shutil
import signal
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "tests"]

# Nox passes an interrupt on to what it runs, but would die of a SIGTERM and leave that running.
signal.signal(signal.SIGTERM, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
# Seconds for a command to stop its servers: after Ctrl-C, and after SIGTERM.
TO_INTERRUPT = 10
TO_TERMINATE = 30


def install(session: nox.Session, group: str) -> None:
    session.install(*nox.project.dependency_groups(PYPROJECT, group))


@nox.session
def lint(session: nox.Session) -> None:
    """Check the template repository's own code."""
    install(session, "lint")
    session.run("ruff", "format", "--check", *session.posargs)
    session.run("ruff", "check", *session.posargs)
    install(session, "types")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Render the template, and run what it renders on real databases; arguments go to pytest."""
    install(session, "tests")
    arguments = session.posargs or ["--numprocesses", "auto"]
    # A folder of this run's own: another pytest of root would close the shared one to the user
    # under whom root runs PostgreSQL.
    folder = Path(session.virtualenv.location).resolve() / "pytest"
    folder.mkdir(exist_ok=True)
    session.run(
        *("pytest", *arguments),
        env={"PYTEST_DEBUG_TEMPROOT": str(folder)},
        interrupt_timeout=TO_INTERRUPT,
        terminate_timeout=TO_TERMINATE,
    )


@nox.session
def demo(session: nox.Session) -> None:
    """Render a project and see it work: nox -s demo -- [FOLDER] [--serve]."""
    folders = [argument for argument in session.posargs if not argument.startswith("-")]
    options = [argument for argument in session.posargs if argument.startswith("-")]
    if len(folders) > 1 or set(options) - {"--serve"}:
        session.error(f"{session.posargs} is not [FOLDER] [--serve]")
    if folders:
        project = Path(session.invoked_from, folders[0]).resolve()
    else:
        # Deleted with the session's environment, which the next run recreates.
        project = Path(session.virtualenv.location).resolve() / "my-service"
    if (project / ".copier-answers.yml").exists():
        session.log(f"{project} is a project already, and is taken as it is")
    elif project.exists() and any(project.iterdir()):
        session.error(f"{project} holds something else; name a new folder")
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
        interrupt_timeout=TO_INTERRUPT,
        terminate_timeout=TO_TERMINATE,
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
            interrupt_timeout=TO_INTERRUPT,
            terminate_timeout=TO_TERMINATE,
        )
