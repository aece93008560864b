"""`nox -s servers`: the servers that it uses, what it counts and writes, and a given server."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.servers.discovery import Target, major_version, parse_servers
from tests.servers.running import Result, count_outcomes, run_pytest
from tests.servers.table import BEGIN, END, format_table, write_table
from tests.support.projects import ROOT, Project, run

RESULTS = [
    Result(
        "MySQL 9.7.4", "3.11.7", Counter(passed=9, failed=1), Counter(passed=7, skipped=1), 61.4
    ),
    Result("SQLite 3.40.1", "3.15.2", Counter(passed=9), Counter(passed=8), 9),
]
TABLE = """\
| server | Python | migrations | rendered project | seconds |
|---|---|---|---|---|
| MySQL 9.7.4 | 3.11.7 | 9 passed, 1 failed | 7 passed, 1 skipped | 61 |
| SQLite 3.40.1 | 3.15.2 | 9 passed | 8 passed | 9 |
"""
REPORT = """<testsuites><testsuite tests="9" errors="1" failures="2" skipped="3" /></testsuites>"""
SELECTED = ("tests/migrations/test_round_trip.py", "-k", "none and not scan")


def test_servers_are_given_by_url() -> None:
    servers = "postgresql://me@host/db, mariadb://host/db,sqlite://"
    postgresql, mariadb, sqlite = parse_servers(servers, Path())
    assert postgresql == Target("postgresql", "postgresql://me@host/db")
    assert mariadb == Target("mysql", "mariadb://host/db")
    assert sqlite == Target("sqlite")
    assert str(Target("mysql", "mysql://me:secret@host:1/db")) == "mysql, host:1"
    with pytest.raises(ValueError, match=r"SERVERS: unsupported 'oracle://host'; expected 'found'"):
        parse_servers("oracle://host", Path())


def test_found_servers_have_one_target_for_each_version() -> None:
    targets = parse_servers("found", Path())
    programs = [target.programs for target in targets if target.programs]
    versions = [major_version(folder) for folder in programs]
    assert versions == sorted(set(versions))
    pythons = [target.python for target in targets if target.database == "sqlite"]
    assert pythons
    assert len(pythons) == len(set(pythons))


def test_result_with_failures_has_not_passed() -> None:
    counts = count_outcomes(ElementTree.fromstring(REPORT))
    assert counts == Counter(passed=3, failed=3, skipped=3)
    assert [result.has_passed for result in RESULTS] == [False, True]


@pytest.mark.parametrize("arguments", [["missing.py"], ["-p", "missing_plugin"]])
def test_broken_run_of_pytest_counts_as_failed(tmp_path: Path, arguments: list[str]) -> None:
    assert run_pytest(Path(sys.executable), tmp_path, {}, arguments)["failed"] == 1


def test_table_replaces_the_one_of_the_readme(tmp_path: Path) -> None:
    assert format_table(RESULTS) == TABLE
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}old\n{END}after\n", "utf-8")
    write_table(readme, RESULTS, ["-k", "round_trip"])
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    assert (before, rest.partition(END)[2]) == ("before\n", "after\n")
    assert f", with `-k round_trip` for the migrations:\n\n{TABLE}" in rest
    assert "old" not in rest
    readme.write_text("no table", "utf-8")
    with pytest.raises(ValueError, match=r"README.md: no place for the table"):
        write_table(readme, RESULTS, [])


def test_servers_of_ci_are_in_the_table_of_the_readme() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    images = [
        entry["image"] for entry in workflow["jobs"]["servers"]["strategy"]["matrix"]["include"]
    ]
    names = {"postgres": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL"}
    for image in images:
        name, _, version = image.partition(":")
        # Distributions have other versions of MySQL than the long-term one.
        expected = names[name] if name == "mysql" else f"{names[name]} {version}."
        assert f"| {expected}" in table, image
    assert " failed" not in table


def test_given_server_runs_the_tests_and_keeps_no_database(
    environment: Callable[[str], Path], shared: Path, tmp_path: Path
) -> None:
    folder = environment("postgresql")
    made = Project(shared / "installed-postgresql", folder, shared / "types", forked=True)
    databases = "SELECT datname FROM pg_database ORDER BY 1"
    command = [sys.executable, "-m", "pytest", "-q", "--database", "postgresql", *SELECTED]

    def printed(url: str, status: int = 0) -> str:
        given = {"TEST_DATABASE_URL": url, "TEST_SHARED_FOLDER": str(shared)}
        return run(command, ROOT, status=status, **given).stdout

    with made.private_server(tmp_path / "server") as url:
        existing = made.sql(url, databases)
        assert "postgresql: 1 passed" in printed(url)
        assert made.sql(url, databases) == existing
    assert "No such file or directory" in printed(url, status=1)
