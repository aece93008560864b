"""Projects of other templates for comparison, and an item module for one of them.

Their code is not included: their generators are installed from PyPI and run without questions.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.projects import Project, run

# For each file, the text to replace and its replacement.
Edits = Mapping[str, tuple[str, str]]
# The name of each generated project, and of its package.
NAME = "peer"


@dataclass(frozen=True)
class Peer:
    """Another template, its command to generate a project `peer`, and the project's properties.

    - `requirement`, `generate`: the package to install, and its command;
    - `files_only`: variables that prevent the command from installing and formatting the project;
    - `application`: a factory; `health`: a path with status 200; `items`: the path of its items;
    - `folder`: of the application, relative to the project;
    - `database`: variables for host, port, user, password and name;
    - `edits`: changes that let the project connect to a server through a socket.
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
        """Return the command of an installed generator, to be run in an empty folder."""
        program, *arguments = self.generate
        return [Project(generator, generator, generator).program(program), *arguments]

    def adapt(self, folder: Path) -> Path:
        """Let a generated project connect through a socket; return its path.

        Raises FileNotFoundError or ValueError if the project is not as expected.
        """
        path = folder / NAME / self.folder
        edit(path, self.edits)
        return path

    def install(self, path: Path, environment: Path, python: str) -> Project:
        """Install a project with its development dependencies, as its documentation describes.

        Raises AssertionError if it does not support that Python; all of them support 3.12.
        """
        run(
            ["uv", "sync", "--quiet", "--python", python],
            path,
            UV_PROJECT_ENVIRONMENT=str(environment),
        )
        return Project(path, environment, path / ".mypy_cache")

    def variables(self, url: str) -> dict[str, str]:
        """Return the variables with which a project connects to a database."""
        parts = urlsplit(url)
        # The settings append the name to a URL; SQLAlchemy prefers the host in the query.
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
    # It installs, formats and commits after `git init`, and skips that if `git init` fails.
    files_only={"GIT_DIR": os.devnull},
    application="peer.web.application:get_app",
    health="/api/health",
    database=("PEER_DB_HOST", "PEER_DB_PORT", "PEER_DB_USER", "PEER_DB_PASS", "PEER_DB_BASE"),
    items="/api/item",
    edits={
        # Otherwise, a ? in the database name is quoted, and a / in the host is rejected.
        "peer/settings.py": (
            'path=f"/{self.db_base}",\n',
            'path=f"/{self.db_base}",\n            encoded=True,\n',
        ),
    },
)
FASTAPI_FULLSTACK = Peer(
    requirement="fastapi-fullstack==0.2.21",
    # --minimal includes an AI agent.
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
    """Add items to a project of fastapi_template, which has none, before it is installed.

    They use our table, in the style of its module `dummy`. Its sessions commit after the response,
    so that a client may not find what it has just created.
    Raises FileNotFoundError or ValueError if the project is not as expected.
    """
    edit(
        path,
        {
            "peer/web/api/router.py": (
                "\napi_router = APIRouter()\n",
                "from peer.web.api import item\n\napi_router = APIRouter()\n"
                'api_router.include_router(item.router, prefix="/item", tags=["item"])\n',
            ),
            # The same kind of keys, so that both insert at the end of the index.
            "pyproject.toml": ('  "asyncpg ', '  "uuid-utils >=1.2",\n  "asyncpg '),
        },
    )
    overlay = Path(__file__).parent / "fastapi_template" / NAME
    shutil.copytree(overlay, path / NAME, dirs_exist_ok=True)


def edit(path: Path, edits: Edits) -> None:
    """Edit files of a project. Raises ValueError unless each has the old text exactly once."""
    for name, (old, new) in edits.items():
        text = (path / name).read_text("utf-8")
        if text.count(old) != 1 or new in text:
            raise ValueError(f"{path / name} is not as expected: {old!r} once, and not {new!r}")
        (path / name).write_text(text.replace(old, new), "utf-8")
