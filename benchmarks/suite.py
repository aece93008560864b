"""The time of a rendered project's tests, on each database."""

import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.workbench import Workbench
from tests.support.projects import DATABASES, Project, render, run


def measure(bench: Workbench) -> dict[str, Any]:
    """Return the seconds of each round, and the number of tests, by database."""
    projects = {name: installed(bench, name) for name in DATABASES if is_installed(name)}
    results: dict[str, Any] = {}
    for number in range(bench.rounds + 1):
        for name, project in projects.items():
            printed = project.run("pytest", "--quiet", "tests").stdout
            [(tests, seconds)] = re.findall(r"(\d+) passed.* in ([\d.]+)s", printed)
            if number:
                found = results.setdefault(name, {"tests": int(tests), "seconds": []})
                found["seconds"].append(float(seconds))
    return results


def is_installed(database: str) -> bool:
    return database != "mysql" or any(map(shutil.which, ("mariadbd", "mysqld")))


def installed(bench: Workbench, database: str) -> Project:
    path = render(bench.template, bench.folder / f"suite-{database}", database=database)
    environment = bench.folder / f"suite-{database}-environment"
    install = ["uv", "sync", "--quiet", "--python", bench.python]
    run(install, path, UV_PROJECT_ENVIRONMENT=str(environment))
    return Project(path, environment, path / ".mypy_cache")


def by_file(report: Path) -> dict[str, Any]:
    """Return the seconds of a pytest run, in total and by test file, from its JUnit report."""
    root = ElementTree.parse(report).getroot()
    [suite] = root.iter("testsuite")
    seconds: dict[str, float] = {}
    for case in suite.iter("testcase"):
        file = case.get("classname", "").removeprefix("tests.")
        seconds[file] = seconds.get(file, 0) + float(case.get("time", 0))
    return {
        "tests": int(suite.get("tests", 0)),
        "failed": int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
        "seconds": float(suite.get("time", 0)),
        "seconds of each file, of all workers": dict(
            sorted(seconds.items(), key=lambda pair: -pair[1])
        ),
    }
