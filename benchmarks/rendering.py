"""The time of complete generator processes: this template, others, and a minimal one."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import FASTAPI_FULLSTACK, FASTAPI_TEMPLATE, Peer
from benchmarks.workbench import Workbench, command
from tests.support.repositories import commit, git

FLOOR = "copier copy of a template with one file"
COPY = "copier copy of this template"
UPDATE = "copier update of this template, adding a module"
ONE_FILE = {
    "copier.yml": "_subdirectory: template\n",
    "template/file.txt": "nothing\n",
    "template/{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers|to_nice_yaml }}\n",
}
COPIER = [sys.executable, "-W", "ignore", "-m", "copier"]


def measure(bench: Workbench) -> dict[str, list[float]]:
    """Return the seconds of each round."""
    template = released(bench.template, bench.folder / "released")
    floor = bench.folder / "floor"
    for name, text in ONE_FILE.items():
        (floor / name).parent.mkdir(parents=True, exist_ok=True)
        (floor / name).write_text(text, "utf-8")
    released(floor, floor)
    project = bench.folder / "updated"
    copy = [*COPIER, "copy", "--defaults", "--quiet"]
    command([*copy, str(template), str(project)], bench.folder)()
    git(project, "init", "--quiet")
    commit(project)
    new = bench.folder / "new"
    generated = bench.folder / "generated"

    def tidy() -> None:
        git(project, "reset", "--quiet", "--hard")
        git(project, "clean", "--quiet", "--force", "-d")
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(generated, ignore_errors=True)
        generated.mkdir()

    update = [*COPIER, "update", "--defaults", "--quiet", "--data", "modules=[item, invoice]"]
    actions = {
        FLOOR: command([*copy, str(floor), str(new)], bench.folder),
        COPY: command([*copy, str(template), str(new)], bench.folder),
        UPDATE: command(update, project),
    }
    if bench.has_peers:
        actions |= {
            "fastapi_template (s3rius), files only": generate(bench, FASTAPI_TEMPLATE, generated),
            "fastapi-fullstack (vstorm), files only": generate(bench, FASTAPI_FULLSTACK, generated),
        }
    return bench.in_turn(actions, tidy)


def released(folder: Path, repository: Path) -> Path:
    """Make a git repository with one tagged version of a template."""
    if folder != repository:
        shutil.copytree(folder, repository)
    git(repository, "init", "--quiet")
    commit(repository, "v1.0.0")
    return repository


def generate(bench: Workbench, peer: Peer, folder: Path) -> Callable[[], None]:
    """Install a generator; return an action that only writes files to a folder."""
    generator = bench.folder / peer.requirement
    peer.install_generator(generator, bench.python)
    return command(peer.command(generator), folder, **peer.files_only)
