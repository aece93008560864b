"""A database server of a project that tests stop and start again."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.projects import Project


@dataclass
class Server:
    """A database server whose address and files outlive its stops; a file has none."""

    project: Project
    folder: Path
    running: ExitStack = field(default_factory=ExitStack)
    url: str = ""

    @property
    def database(self) -> str:
        return self.project.database

    def start(self) -> None:
        url = self.running.enter_context(self.project.private_server(self.folder))
        if self.database == "sqlite":
            self.url = url
            return
        # Its socket is in a new folder each time.
        target = url.partition("=")[2]
        address = self.folder / "address"
        address.unlink(missing_ok=True)
        address.symlink_to(target)
        self.url = url.replace(target, str(address))

    def stop(self) -> None:
        self.running.close()


@contextmanager
def migrated_server(project: Project) -> Iterator[Server]:
    """Start a server with the project's tables."""
    with ExitStack() as stack:
        # Short, for its sockets.
        short = stack.enter_context(TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True))
        server = Server(project, Path(short))
        stack.callback(server.stop)
        server.start()
        project.run("alembic", "upgrade", "head", DATABASE_URL=server.url)
        yield server
