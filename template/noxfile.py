"""Tasks; each runs in the project's environment: `uv run nox -l` lists them."""

import signal
import sys

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests"]

# Nox passes an interrupt on to what it runs, but would die of a SIGTERM and leave that running.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@nox.session
def dev(session: nox.Session) -> None:
    """Serve on a private database, with reload; arguments go to uvicorn: -- --port 8001."""
    session.run(
        *("uv", "run", "python", "-m", "tests.serve", *session.posargs),
        interrupt_timeout=10,
        terminate_timeout=30,
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, on a private database or on that of TEST_DATABASE_URL."""
    session.run(
        *("uv", "run", "pytest", "--all", *session.posargs),
        interrupt_timeout=10,
        terminate_timeout=30,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check conflicts of an update, format, style, types and the boundaries between modules."""
    session.run(sys.executable, "updates/conflicts.py")
    session.run("uv", "run", "ruff", "format", "--check")
    session.run("uv", "run", "ruff", "check")
    session.run("uv", "run", "mypy")
    session.run("uv", "run", "lint-imports")


@nox.session
def initial(session: nox.Session) -> None:
    """Rewrite the initial revision from the models, unless it has been applied."""
    session.run(
        *("uv", "run", "python", "-m", "tools.initial_revision"),
        interrupt_timeout=10,
        terminate_timeout=30,
    )


@nox.session
def schema(session: nox.Session) -> None:
    """Draw the tables and the revisions into docs/schema.md."""
    session.run("uv", "run", "python", "-m", "docs.schema")


@nox.session
def openapi(session: nox.Session) -> None:
    """Write what the API promises into docs/openapi.json."""
    session.run("uv", "run", "python", "-m", "docs.openapi")


@nox.session
def template(session: nox.Session) -> None:
    """Say whether the template has a newer version, and what it brings."""
    session.run("uv", "run", "--script", "updates/available.py")
