"""Projects of other templates, to be compared with ours, and an item module for one of them.

Nothing of theirs lies here: their generators come from PyPI, and ask no questions.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.projects import Project, run

# An older text of a file, and what takes its place.
Edits = Mapping[str, tuple[str, str]]
# The name of every generated project, and so of the package that items are added to.
NAME = "peer"


@dataclass(frozen=True)
class Peer:
    """Another template, how it generates a project called `peer`, and what that is like.

    - `requirement`, `generate`: what to install, and the command that it brings;
    - `files_only`: variables that keep the command from installing and formatting the project;
    - `application`: a factory; `health`: a path that answers 200; `items`: the path of its items;
    - `folder`: of the application, in that of the project;
    - `database`: variables of its host, port, user, password and name;
    - `edits`: to a generated project, so that it reaches a server by its socket.
    """

    requirement: str
    generate: tuple[str, ...]
    files_only: Mapping[str, str]
    application: str
    health: str
    database: tuple[str, str, str, str, str]
    items: str | None = None
    folder: str = "."
    edits: Edits = field(default_factory=dict)

    def install_generator(self, environment: Path, python: str) -> None:
        """Install the generator into a new environment."""
        folder = environment.parent
        run(["uv", "venv", "--quiet", "--python", python, str(environment)], folder)
        run(
            ["uv", "pip", "install", "--quiet", self.requirement],
            folder,
            VIRTUAL_ENV=str(environment),
        )

    def command(self, generator: Path) -> list[str]:
        """Return the command of an installed generator, to be run in an empty folder.

        What it runs after that follows UV_PYTHON; `files_only` leaves it out.
        """
        program, *arguments = self.generate
        return [Project(generator, generator, generator).program(program), *arguments]

    def adapt(self, folder: Path) -> Path:
        """Make what was generated in a folder reach a server by its socket; return its path.

        Raises FileNotFoundError or ValueError if it is not what this was written for.
        """
        path = folder / NAME / self.folder
        edit(path, self.edits)
        return path

    def install(self, path: Path, environment: Path, python: str) -> Project:
        """Install a project as its own documentation does: with what its developers need.

        Raises AssertionError if it does not take that Python; all of them take 3.12.
        """
        run(
            ["uv", "sync", "--quiet", "--python", python],
            path,
            UV_PROJECT_ENVIRONMENT=str(environment),
        )
        return Project(path, environment, path / ".mypy_cache")

    def variables(self, url: str) -> dict[str, str]:
        """Return the variables that give a project its database, to migrate and to be served."""
        parts = urlsplit(url)
        # Its settings put this at the end of a URL; SQLAlchemy prefers the host in the query.
        name = parts.path.removeprefix("/") + (f"?{parts.query}" if parts.query else "")
        values = (
            *(parts.hostname or "localhost", str(parts.port or 5432)),
            *(parts.username or "postgres", parts.password or "", name),
        )
        return dict(zip(self.database, values, strict=True))


FASTAPI_TEMPLATE = Peer(
    requirement="fastapi_template==6.1.2",
    generate=(
        *("fastapi_template", "--quiet", "--name", NAME, "--api-type", "rest"),
        *("--db", "postgresql", "--orm", "sqlalchemy", "--ci", "none"),
        *("--migrations", "--routers", "--dummy"),
    ),
    # It installs, formats and commits after `git init`, and stops in peace if that fails.
    files_only={"GIT_DIR": os.devnull},
    application="peer.web.application:get_app",
    health="/api/health",
    database=("PEER_DB_HOST", "PEER_DB_PORT", "PEER_DB_USER", "PEER_DB_PASS", "PEER_DB_BASE"),
    items="/api/item",
    edits={
        # Otherwise a ? in the database's name is quoted, and a / in the host is refused.
        "peer/settings.py": (
            'path=f"/{self.db_base}",\n',
            'path=f"/{self.db_base}",\n            encoded=True,\n',
        ),
    },
)
FASTAPI_FULLSTACK = Peer(
    requirement="fastapi-fullstack==0.2.21",
    # Its --minimal has an AI agent.
    generate=(
        *("fastapi-fullstack", "create", NAME, "--database", "postgresql", "--no-logfire"),
        *("--no-docker", "--ci", "none", "--reverse-proxy", "none", "--frontend", "none"),
        *("--ai-framework", "none"),
    ),
    files_only={"FASTAPI_FULLSTACK_RENDER_ONLY": "1"},
    application="app.main:create_app",
    health="/api/v1/health",
    database=(
        *("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD"),
        "POSTGRES_DB",
    ),
    folder="backend",
)


def add_items(path: Path) -> None:
    """Add items, which fastapi_template lacks, to its project before that is installed.

    They are on the table of ours, and written as its module `dummy` is. Its sessions commit after
    the answer, so that a client may ask for what it created before that is there.
    Raises FileNotFoundError or ValueError if the project is not what this was written for.
    """
    edit(
        path,
        {
            "peer/web/api/router.py": (
                "\napi_router = APIRouter()\n",
                "from peer.web.api import item\n\napi_router = APIRouter()\n"
                'api_router.include_router(item.router, prefix="/item", tags=["item"])\n',
            ),
            # Keys as ours are, so that both put their rows at the end of the index.
            "pyproject.toml": ('  "asyncpg ', '  "uuid-utils >=1.2",\n  "asyncpg '),
        },
    )
    overlay = Path(__file__).parent / "fastapi_template" / NAME
    shutil.copytree(overlay, path / NAME, dirs_exist_ok=True)


def edit(path: Path, edits: Edits) -> None:
    """Edit files of a project; raise ValueError unless each has the older text once, unedited."""
    for name, (old, new) in edits.items():
        text = (path / name).read_text("utf-8")
        if text.count(old) != 1 or new in text:
            raise ValueError(f"{path / name} is not as expected: {old!r} once, and not {new!r}")
        (path / name).write_text(text.replace(old, new), "utf-8")
