"""Upgrade, check and downgrade, for every combination of answers."""

from collections.abc import Callable

import pytest

from tests.support.answers import ANSWERS
from tests.support.projects import Project
from tests.support.revisions import ALEMBIC


@pytest.mark.parametrize("answers", ANSWERS)
def test_migrations_go_up_and_down_without_a_difference(
    project: Callable[..., Project], database: str, answers: str
) -> None:
    made = project(database, **ANSWERS[answers])
    steps = ["upgrade head", "check", "downgrade base", "upgrade head", "check"]
    made.with_server(["python", "-c", ALEMBIC, *steps])


def test_migrations_import_no_web_framework(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    made.fresh.python("-c", MIGRATE, "upgrade head", "check", DATABASE_URL="sqlite:///app.db")


MIGRATE = f"""{ALEMBIC}
assert not {{"fastapi", "starlette", "structlog"}} & sys.modules.keys()
"""
