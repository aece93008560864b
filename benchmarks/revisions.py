"""How `alembic upgrade head` grows with linear revisions: on an empty database, and as a no-op.

Runs in a rendered project, on its private server; `nox -s benchmarks` renders one. Each figure is
the median of five runs of a whole process, the sizes taken in turn, so that noise hits them alike.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.database_server import run_server

SIZES = (0, 125, 250, 500)
RUNS = 5
IMPORTS = "import alembic, sqlalchemy, app.main"

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
    """Copy the project of the current folder, and add revisions after its first one."""
    project = folder / f"with-{size}"
    shutil.copytree(".", project, ignore=shutil.ignore_patterns(".venv", ".git", "__pycache__"))
    for number in range(2, size + 2):
        text = REVISION.format(number=number, previous=number - 1)
        (project / "alembic" / "versions" / f"{number:04}.py").write_text(text, "utf-8")
    return project


def upgrade(project: Path, data: Path) -> tuple[float, float]:
    """Return the seconds of an upgrade of an empty database, and of one with nothing to do."""
    command = ("-m", "alembic", "-c", str(project / "alembic.ini"), "upgrade", "head")
    with run_server(data) as url:
        first = seconds(*command, DATABASE_URL=url)
        return first, seconds(*command, DATABASE_URL=url)


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        projects = {size: project_with(size, Path(folder)) for size in SIZES}
        times: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
        imports = []
        for run in range(RUNS):
            imports.append(seconds("-c", IMPORTS))
            for size, project in projects.items():
                times[size].append(upgrade(project, Path(folder) / f"data-{size}-{run}"))
    base = statistics.median(imports)
    print(f"{IMPORTS}: {base:.2f} s")
    print("revisions  upgrade  per revision  no-op  per revision  no-op / imports")
    least = [statistics.median(column) for column in zip(*times[0], strict=True)]
    for size in SIZES:
        full, noop = (statistics.median(column) for column in zip(*times[size], strict=True))
        each = [
            1000 * (now - then) / (size or 1) for now, then in zip((full, noop), least, strict=True)
        ]
        print(
            f"{size:9}  {full:5.2f} s  {each[0]:9.2f} ms  {noop:4.2f} s  {each[1]:9.2f} ms"
            f"  {noop / base:15.2f}"
        )


if __name__ == "__main__":
    main()
