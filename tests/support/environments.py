"""The environment that the projects of a database share, and what is made only once.

`python -m tests.support.environments DATABASE` installs it in TEST_SHARED_FOLDER.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from tests.support.projects import (
    AUTH,
    FEATURES,
    copy_template,
    given_server,
    initialize_server,
    render,
    run,
)


def create_once(folder: Path, make: Callable[[], object]) -> Path:
    """Return a folder that one of the processes made."""
    complete = folder.with_name(f"{folder.name}.complete")
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            make()
            complete.touch()
    return folder


def copy_template_once(shared: Path) -> Path:
    folder = shared / "template"
    return create_once(folder, lambda: copy_template(folder))


def install_environment(template: Path, shared: Path, database: str) -> Path:
    """Install what a project of a database needs, once for all processes."""
    folder = shared / f"environment-{database}"

    def install() -> None:
        # Each of several hundred processes would compile what it imports again.
        variables = {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_COMPILE_BYTECODE": "1"}
        # uv would take another Python on the PATH, because this one is in an environment.
        sync = ["uv", "sync", "--quiet", "--inexact", "--python", sys.executable]
        for auth in AUTH:
            # One environment holds the packages of all of them.
            name = f"installed-{database}" if auth == "none" else f"installed-{database}-{auth}"
            answers = {"database": database, "features": FEATURES, "auth": auth}
            run(sync, render(template, shared / name, **answers), status=0, **variables)
        if database != "sqlite" and not given_server(database):
            initialize_server(folder)

    return create_once(folder, install)


if __name__ == "__main__":
    folder = Path(os.environ["TEST_SHARED_FOLDER"])
    install_environment(copy_template_once(folder), folder, sys.argv[1])
