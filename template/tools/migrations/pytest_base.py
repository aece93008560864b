"""A pytest plugin for the tests of the base commit, whose database this project migrates.

Copied next to those tests by tools/migrations/compat.py: it must not import from `app` or `tools`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import make_url

FAILED: list[str] = []


def upgrade(config: Any, *_: object, **__: object) -> None:
    """Upgrade the database of the tests in place of `alembic.command.upgrade`.

    New code migrates and old code runs afterwards, as in a release: a revision may import what only
    the new code has.
    """
    database = config.attributes["connection"].engine.url.database
    server = make_url(os.environ["TEST_DATABASE_URL"])
    url = server.set(database=database).render_as_string(hide_password=False)
    for migrate in json.loads(os.environ["COMPAT_COMMANDS"]):
        done = subprocess.run(
            migrate,
            cwd=os.environ["COMPAT_PROJECT"],
            env=os.environ | {"DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.exit(f"The revisions cannot be applied:\n{done.stdout}", returncode=1)


def check(*_: object, **__: object) -> None:
    """Find no difference in place of `alembic.command.check`: a new schema is the purpose."""


command.upgrade = upgrade
command.check = check


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and report.nodeid not in FAILED:
        FAILED.append(report.nodeid)


def pytest_sessionfinish() -> None:
    Path(os.environ["COMPAT_FAILED"]).write_text(json.dumps(FAILED), "utf-8")
