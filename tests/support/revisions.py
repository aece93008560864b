"""Revisions and Alembic commands."""

from pathlib import Path

from tests.support.projects import Project

# Several commands in one process, which has to import everything only once.
ALEMBIC = "import sys; from alembic.config import main; [main(a.split()) for a in sys.argv[1:]]"

REVISION = '''"""{name}"""

import os
import time
from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {previous!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


def add_revision(
    made: Project, name: str, previous: str = "0001", upgrade: str = "pass", downgrade: str = "pass"
) -> Path:
    """Write a revision, as a user would, and name it as the head."""
    code = {"upgrade": upgrade.strip(), "downgrade": downgrade.strip()}
    file = made.path / "alembic/versions" / f"{name}.py"
    file.write_text(REVISION.format(name=name, previous=previous, **code), "utf-8")
    (made.path / "alembic/versions/HEAD").write_text(f"{name}\n", "utf-8")
    return file


def migrate(made: Project, url: str, message: str) -> str:
    """Generate a revision, apply it, check, revert it and apply it again; return its code."""
    revision = ["upgrade head", f"revision --autogenerate -m {message}"]
    again = ["upgrade head", "check", "downgrade -1", "upgrade head", "check"]
    made.python("-c", ALEMBIC, *revision, *again, DATABASE_URL=url)
    [file] = (made.path / "alembic/versions").glob(f"2*_{message}.py")
    return file.read_text("utf-8")
