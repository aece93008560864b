"""Models of a large application: migrated up, checked, down and up, and with rows in the tables."""

import shutil
from collections.abc import Callable

from tests.support.edits import edit
from tests.support.projects import SUPPORT, Project
from tests.support.revisions import ALEMBIC, add_revision

MODULES = ("accounts", "catalog", "billing", "workflow", "measurement", "wording")
VIEW = """CREATE VIEW open_invoice AS
SELECT organization_id, number FROM invoice WHERE status <> 'paid' AND reference NOT LIKE '100%'"""

# For CHECK constraints, as docs/migrations.md says, and for a range, which has no example either.
EXAMPLES = {
    "from uuid import UUID\n": "from sqlalchemy.dialects.postgresql import Range\n",
    "[tuple[str, str], Callable[[int], Any]] = {\n": """
    ("invoice", "status"): lambda _: "draft",
    ("product", "kind"): lambda _: "book",
    ("reservation", "period"): lambda number: Range(START, START + timedelta(days=number)),
""",
}


def add_models(made: Project, database: str) -> None:
    """Add the models as modules, and import them as a user would."""
    lines = ["# isort: split\n"]
    for name in sorted([*MODULES, database]):
        folder = made.path / "app/modules" / name
        folder.mkdir()
        (folder / "__init__.py").touch()
        shutil.copy(SUPPORT / f"model_set/{name}.py", folder / "models.py")
        lines.append(f"from app.modules.{name} import models as {name}_models  # noqa: F401\n")
    edit(made.path / "alembic/env.py", lines[0], "".join(lines))


def test_large_model_set_needs_no_edit(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    add_models(made, database)
    versions = made.path / "alembic/versions"
    with made.server() as url:
        generate = ("upgrade head", "revision --autogenerate -m models")
        made.python("-c", ALEMBIC, *generate, DATABASE_URL=url)
        [generated] = versions.glob("2*_models.py")
        head = (versions / "HEAD").read_text("utf-8").strip()
        drop = 'op.execute("DROP VIEW open_invoice")'
        add_revision(made, "view", head, f'op.execute("""{VIEW}""")', drop)
        steps = ("upgrade head", "check", "downgrade base", "upgrade head", "check")
        made.python("-c", ALEMBIC, *steps, DATABASE_URL=url)
    made.run("ruff", "check", "alembic")
    made.run("ruff", "format", "--check", f"alembic/versions/{generated.name}")
    for place, lines in EXAMPLES.items():
        edit(made.path / "tests/example_rows.py", place, place + lines)
    made.python("-m", "pytest", "-q", "tests/test_migrations.py")
