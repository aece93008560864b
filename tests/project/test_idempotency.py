"""A module with idempotency keys, as docs/idempotency.md describes it, on every database."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.applications import RESPONSE_TIMEOUT, Answer, Application, wait_for
from tests.support.checks import check
from tests.support.edits import edit
from tests.support.projects import DATABASES, SUPPORT, Project
from tests.support.revisions import ALEMBIC

ITEMS = "/api/v1/items"
CLIENTS = 20
LEASE = 3


@dataclass(frozen=True)
class Module:
    """A project whose module has opted in, and a migrated database."""

    project: Project
    url: str

    @contextmanager
    def serve(self, **variables: str) -> Iterator[Application]:
        script = SUPPORT / "idempotent_application.py"
        copy = Path(shutil.copy(script, self.project.path))
        application = f"{script.stem}:create_app"
        with self.project.serve(self.url, application, **variables) as served:
            yield Application(served)
        copy.unlink()

    def alembic(self, *commands: str) -> None:
        path = str(self.project.path)
        self.project.python("-c", ALEMBIC, *commands, DATABASE_URL=self.url, PYTHONPATH=path)


@pytest.fixture(scope="module", params=DATABASES)
def module(
    request: pytest.FixtureRequest, lasting_project: Callable[..., Project]
) -> Iterator[Module]:
    project = lasting_project(request.param)
    opt_in(project)
    with project.server() as url:
        module = Module(project, url)
        module.alembic("upgrade head", "revision --autogenerate -m keys")
        module.alembic("upgrade head")
        yield module


def opt_in(project: Project) -> None:
    """Edit the module as the page says."""
    page = (project.path / "docs/idempotency.md").read_text("utf-8")
    models, router = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = project.path / "app/modules/item"
    imported, _, model = models.partition("\n\n\n")
    last = "from app.core.models import Entity, Versioned\n"
    edit(folder / "models.py", last, f"{imported}\n{last}")
    with (folder / "models.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{model}")
    imported, _, assigned = router.partition("\n\n")
    core, _, own = imported.partition("\n")
    code = (folder / "router.py").read_text("utf-8")
    for line in (own.replace(", ItemIdempotency", ""), *re.findall(r"^router = .*$", code, re.M)):
        edit(folder / "router.py", line, own if line.startswith("from") else assigned.rstrip())
    before = "from app.core.optimistic_locking"
    edit(folder / "router.py", before, f"{core}\n{before}")
    project.python("-m", "tools.openapi")


def post(application: Application, name: str, key: str) -> Answer:
    body = f'{{"name": "{name}"}}'
    return application.ask("POST", ITEMS, body, {"Idempotency-Key": key})


def test_idempotency_keys_are_added_to_a_module(module: Module) -> None:
    module.alembic("check", "downgrade -1", "upgrade head", "check")
    if module.url.startswith("sqlite"):
        # The code is the same on each database.
        check(module.project)
    tests = ("tests/modules", "tests/test_migrations.py", "tests/test_openapi.py")
    module.project.python("-m", "pytest", "-q", *tests, "tests/core/test_models.py")


def test_clients_that_race_with_one_key_write_once(module: Module) -> None:
    with module.serve() as application, ThreadPoolExecutor(CLIENTS) as pool:
        for race in range(3):
            name = f"raced-{race}"
            futures = [pool.submit(post, application, name, name) for _ in range(CLIENTS)]
            answers = [future.result() for future in futures]
            created = [answer for answer in answers if answer.status == 201]
            assert {answer.status for answer in answers} <= {201, 409}
            assert len({answer.body for answer in created}) == 1
            assert sum("idempotency-replayed" not in one.headers for one in created) == 1
            replay = post(application, name, name)
            assert (replay.status, replay.body) == (201, created[0].body)
            assert application.json("/names").count(name) == 1


def test_a_key_of_a_killed_process_can_be_used_after_its_lease(module: Module) -> None:
    def write(application: Application) -> Answer:
        return application.ask("POST", "/write", None, {"Idempotency-Key": "k"}, name="killed")

    lease = {"IDEMPOTENCY_LEASE": str(LEASE)}
    with ThreadPoolExecutor(1) as pool:
        with module.serve(SECONDS="60", **lease) as application:
            started = time.monotonic()
            first = pool.submit(write, application)
            wait_for(lambda: application.json("/written") == 1)
            assert write(application).status == 409
            application.served.process.kill()
        assert isinstance(first.exception(), OSError)
    with module.serve(**lease) as application:
        while (answer := write(application)).status == 409:
            assert time.monotonic() < started + LEASE + RESPONSE_TIMEOUT
        assert answer.status == 201
        assert time.monotonic() > started + LEASE
        assert write(application).headers["idempotency-replayed"] == "true"
        assert application.json("/names").count("killed") == 1


def test_the_documented_commands_work(module: Module) -> None:
    page = (module.project.path / "docs/idempotency.md").read_text("utf-8")
    commands = re.findall(r"^(curl .*?) +# (\d+)(?:, (.*))?$", page, re.MULTILINE)
    assert len(commands) == 3
    with module.serve() as application:
        environment = os.environ | {"api": f"{application.served.address}{ITEMS}"}
        for command, status, part in commands:
            shell = ["bash", "-c", f"{command} --silent"]
            printed = subprocess.check_output(shell, env=environment, text=True)
            assert printed.startswith(f"HTTP/1.1 {status} ")
            assert part in printed
