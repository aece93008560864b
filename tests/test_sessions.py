"""The sessions of nox cover every test once."""

import json
import sys
from collections import Counter

import nox
import yaml

import noxfile
from tests.support.projects import DATABASES, ROOT, run

PER_DATABASE = ("migrations", "project")
# All in one process, which has to import everything only once.
COLLECT = """
import json, sys
import pytest

class Collector:
    def pytest_collection_finish(self, session):
        found.append([item.nodeid for item in session.items])

found = []
for arguments in json.loads(sys.argv[1]):
    assert pytest.main(["--collect-only", "-qq", *arguments], [Collector()]) == 0
print("\\n" + json.dumps(found))
"""


def names() -> list[str]:
    """Return the sessions that `nox` runs, as `nox -l` names them."""
    printed = run([sys.executable, "-m", "nox", "--list", "--json"], ROOT).stdout
    return [
        listed["session"]
        for listed in json.loads(printed)
        if listed["name"] in (nox.options.sessions or ())
    ]


def test_every_test_belongs_to_exactly_one_session() -> None:
    assert set(noxfile.FOLDERS) == {path.parent.name for path in ROOT.glob("tests/*/test_*.py")}
    selections = [noxfile.selection("updates"), noxfile.selection("tests")]
    for name in PER_DATABASE:
        selections += [noxfile.selection(name, database) for database in DATABASES]
    printed = run([sys.executable, "-c", COLLECT, json.dumps([*selections, []])], ROOT).stdout
    *found, all_tests = json.loads(printed.splitlines()[-1])
    assert all(found)
    assert Counter(test for tests in found for test in tests) == Counter(all_tests)


def test_nox_runs_all_sessions_that_have_tests() -> None:
    matrix = {f"{name}({database})" for name in PER_DATABASE for database in DATABASES}
    assert {*names()} == {"lint", "updates", "tests", *matrix}


def test_ci_runs_what_nox_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    jobs = workflow["jobs"].values()
    words = [
        word
        for job in jobs
        for step in job["steps"]
        for database in job["strategy"]["matrix"].get("database", [""])
        for word in step.get("run", "").replace("${{ matrix.database }}", database).split()
    ]
    ran = {word.strip('"') for word in words}
    assert [name for name in names() if name not in ran] == []
