"""Development tasks, run in the environment of the project; `uv run nox -l` lists them."""

import signal
import subprocess
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]

# Nox passes SIGINT on to the command of a session, but SIGTERM would leave that running.
signal.signal(signal.SIGTERM, signal.default_int_handler)


def run(session: nox.Session, *command: str) -> None:
    """Run a command with the arguments of the session, and time to stop the servers it started."""
    arguments = ("uv", "run", *command, *session.posargs)
    session.run(*arguments, interrupt_timeout=10, terminate_timeout=30)


def has_update() -> bool:
    """Return whether there is an uncommitted or an unfinished update from the template."""
    # It fails, and prints nothing, if there is no repository.
    status = ["git", "status", "--porcelain", "--", ".copier-answers.yml"]
    printed = subprocess.run(status, capture_output=True, check=False).stdout
    return b"M" in printed[:2] or Path("tools/updates/unfinished_update.md").exists()


@nox.session
def dev(session: nox.Session) -> None:
    """Serve with reload on a private database; arguments go to uvicorn: -- --port 8001."""
    run(session, "python", "-m", "tools.serve")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, on a private server or that of TEST_DATABASE_URL; arguments go to pytest."""
    run(session, "pytest", "--all")


@nox.session
def lint(session: nox.Session) -> None:
    """Check update conflicts, format, style, types, imports, spelling and GitHub workflows."""
    updated = has_update()
    if updated:
        session.run("uv", "run", "--script", "tools/updates/lost_lines.py")
    session.run(sys.executable, "tools/updates/conflicts.py")
    if updated:
        session.run(sys.executable, "tools/updates/resolutions.py")
    session.run("uv", "run", "ruff", "format", "--check")
    session.run("uv", "run", "ruff", "check")
    session.run("uv", "run", "mypy")
    session.run("uv", "run", "lint-imports")
    session.run("uv", "run", "typos")
    if Path(".github").exists():
        session.run("uv", "run", "zizmor", "--offline", "--quiet", ".github")


@nox.session
def initial(session: nox.Session) -> None:
    """Rewrite the initial revision from the models, before it is applied to a database."""
    run(session, "python", "-m", "tools.initial_revision")


@nox.session
def squash(session: nox.Session) -> None:
    """Fold all revisions up to one into a new base: -- REVISION."""
    run(session, "python", "-m", "tools.migrations.squash")


@nox.session
def compat(session: nox.Session) -> None:
    """Run the tests of the base branch on the schema of new revisions: -- [BRANCH or COMMIT]."""
    run(session, "python", "-m", "tools.migrations.compat")


@nox.session
def locks(session: nox.Session) -> None:
    """Show what new revisions lock: -- [BRANCH, REVISION or FROM:TO] [--markdown FILE]."""
    run(session, "python", "-m", "tools.migrations.locks")


@nox.session
def schema(session: nox.Session) -> None:
    """Draw the tables and the revisions in docs/schema.md."""
    session.run("uv", "run", "python", "-m", "tools.schema")


@nox.session
def openapi(session: nox.Session) -> None:
    """Write the OpenAPI document to docs/openapi.json."""
    session.run("uv", "run", "python", "-m", "tools.openapi")


@nox.session
def settings(session: nox.Session) -> None:
    """Write the reference of environment variables to docs/settings.md."""
    session.run("uv", "run", "python", "-m", "tools.settings_reference")


@nox.session
def update(session: nox.Session) -> None:
    """Update from the template, without losing edits: -- [ARGUMENTS OF COPIER UPDATE]."""
    session.run("uv", "run", "--script", "tools/updates/update.py", *session.posargs)


# Add your own sessions below; template updates add theirs above.


@nox.session
def template(session: nox.Session) -> None:
    """Show whether the template has a newer version, and its changelog."""
    session.run("uv", "run", "--script", "tools/updates/available.py")
