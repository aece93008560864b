"""The time of `alembic upgrade head` by number of revisions: on an empty database, and as a no-op.

Runs in a rendered project, on its private server; the argument is the number of rounds. Prints, as
JSON, the seconds of complete processes for each number of revisions. The processes alternate, so
that noise affects them equally.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.database_server import run_server

SIZES = (0, 10, 100, 500)

REVISION = '''"""number {number}"""

import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = "{previous:04}"


def upgrade() -> None:
    op.create_table("made_{number}", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("made_{number}")
'''


def seconds(*command: str, **variables: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        env=os.environ | variables,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def project_with(size: int, folder: Path) -> Path:
    """Copy the project in the current folder, and add revisions after the initial one."""
    project = folder / f"with-{size}"
    shutil.copytree(".", project, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__"))
    for number in range(2, size + 2):
        text = REVISION.format(number=number, previous=number - 1)
        (project / "alembic" / "versions" / f"{number:04}.py").write_text(text, "utf-8")
    return project


def upgrade(project: Path, data: Path) -> tuple[float, float]:
    """Return the seconds of upgrading an empty database, and of a second upgrade."""
    command = ("-m", "alembic", "-c", str(project / "alembic.ini"), "upgrade", "head")
    with run_server(data) as url:
        first = seconds(*command, DATABASE_URL=url)
        return first, seconds(*command, DATABASE_URL=url)


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        projects = {size: project_with(size, Path(folder)) for size in SIZES}
        times: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
        for number in range(rounds):
            for size, project in projects.items():
                times[size].append(upgrade(project, Path(folder) / f"data-{size}-{number}"))
    print(json.dumps(times))


if __name__ == "__main__":
    main(int(sys.argv[1]))
