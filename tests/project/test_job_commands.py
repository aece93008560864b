"""The commands in docs/jobs.md work, in a project to which jobs were added later."""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

from tests.support.pages import follow_page
from tests.support.projects import COMMAND_TIMEOUT, Project, clean_environment, render, run

BLOCK = re.compile(r"^```(?:bash|sql)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
REVISIONS = "alembic/versions"
HEALTH_FILE = "JOBS_HEALTH_FILE=/tmp/worker "
FAST = {"JOBS_POLL_INTERVAL": "0.05", "JOBS_RETRY_WAIT": "0.01"}
# Seconds.
PATIENCE = 60


def remove_tables_of_jobs(made: Project, template: Path, folder: Path) -> None:
    """Replace the initial revision with that of a project without jobs."""
    plain = render(template, folder, database=made.database)
    for file in (plain / REVISIONS).glob("*.py"):
        (made.path / REVISIONS / file.name).write_bytes(file.read_bytes())


def read_commands(made: Project) -> list[list[str]]:
    page = (made.path / "docs/jobs.md").read_text("utf-8")
    return [block.splitlines() for block in BLOCK.findall(page)]


def to_words(line: str) -> list[str]:
    """Return a command without `uv run`, and what the session runs if it has arguments."""
    words = shlex.split(line.removeprefix("uv run "), comments=True)
    return ["python", "-m", "app.worker", *words[4:]] if words[3:4] == ["--"] else words


@contextmanager
def running(made: Project, command: str, **variables: str) -> Iterator[None]:
    """Run a worker, stop it, and expect that it ends without an error."""
    program, *arguments = to_words(command)
    command_line = [made.program(program), *arguments]
    environment = clean_environment(made.path) | variables
    with subprocess.Popen(command_line, cwd=made.path, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()
            status = process.wait(COMMAND_TIMEOUT)
    assert status == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def send(method: str, url: str, **body: str) -> Any:
    headers = {"Content-Type": "application/json"}
    request = Request(url, json.dumps(body).encode() if body else None, headers, method=method)
    with urlopen(request, timeout=PATIENCE) as response:
        return json.loads(response.read() or "null")


def test_commands_of_the_page(
    project: Callable[..., Project], database: str, template: Path, tmp_path: Path
) -> None:
    made = project(database, features=["jobs"])
    run(["git", "init", "--quiet"], made.path)
    remove_tables_of_jobs(made, template, tmp_path / "plain")
    follow_page(made, "jobs")
    [work], [health], [show, requeue, requeue_all, cancel], alerts, [delete], revisions, *_ = (
        read_commands(made)
    )
    assert HEALTH_FILE in health
    health = health.replace(HEALTH_FILE, "")
    health_file = str(tmp_path / "worker")

    with made.server() as url:
        variables = {"DATABASE_URL": url, "JOBS_HEALTH_FILE": health_file}

        def execute(line: str, key: str = "", status: int = 0) -> str:
            command = to_words(line.replace("$id", key))
            return made.run(*command, status=status, **variables).stdout

        def failed() -> list[str]:
            query = "SELECT id FROM queued_job WHERE failed_at IS NOT NULL ORDER BY id"
            return [str(UUID(key)) for [key] in made.sql(url, query)]

        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        for command in revisions:
            execute(command)

        names = ("Lamp", "Desk", "Chair")
        with made.serve(url) as served:
            items = f"{served.address}/api/v1/items"
            links = [f"{items}/{send('POST', items, name=name)['id']}" for name in names]
            for link in links:
                send("POST", f"{link}/description")
            for link in links[1:]:
                send("DELETE", link)
        assert re.search(r"item\.describe +waiting +3 ", execute(show))

        assert "no worker has polled" in execute(health, status=1)
        with running(made, work, **variables, **FAST):
            wait_until(lambda: len(failed()) == 2)
        execute(health)
        assert made.sql(url, "SELECT description FROM item") == [["Lamp for every home"]]

        first, second = failed()
        [[count]], [[oldest]] = (made.sql(url, query) for query in alerts)
        assert (count, oldest) == (2, None)
        assert re.search(f"{first} .* NotFoundError", execute(show))
        execute(requeue, first)
        assert failed() == [second]
        execute(requeue_all)
        assert failed() == []
        execute(cancel, first)
        fail = "UPDATE queued_job SET due_at = NULL, failed_at = '2025-06-01 00:00:00'"
        made.sql(url, fail)
        assert failed() == [second]
        made.sql(url, delete)
        assert failed() == []
