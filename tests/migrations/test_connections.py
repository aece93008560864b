"""Which database a migration reaches, and how a wrong setting is reported."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from tests.support.projects import Project

PASSWORD = "p@ss%/:#?"


def test_a_password_of_special_characters_works_online_and_offline(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    with made.private_server(tmp_path / "server") as url:
        if database == "postgresql":
            [[hba]] = made.sql(url, "SHOW hba_file")
            rules = Path(hba).read_text("utf-8")
            Path(hba).write_text(f"local all tester scram-sha-256\n{rules}", "utf-8")
            made.sql(
                url,
                f"CREATE ROLE tester LOGIN PASSWORD '{PASSWORD}'",
                "GRANT CREATE ON SCHEMA public TO tester",
                "SELECT pg_reload_conf()",
            )
            theirs = url.replace("postgres@", f"tester:{quote(PASSWORD, safe='')}@")
        elif database == "mysql":
            made.sql(
                url,
                f"CREATE USER tester@localhost IDENTIFIED BY '{PASSWORD}'",
                "GRANT ALL ON app.* TO tester@localhost",
            )
            theirs = url.replace("root@", f"tester:{quote(PASSWORD, safe='')}@")
        else:
            # A file has no password, and the rest of these may stand in its name.
            theirs = f"sqlite:///{tmp_path}/p@ss%:#.db"
        printed = made.run("alembic", "upgrade", "head", "--sql", DATABASE_URL=theirs).stdout
        assert "CREATE TABLE item" in printed
        assert PASSWORD not in printed
        made.run("alembic", "upgrade", "head", DATABASE_URL=theirs)
        made.run("alembic", "current", "--check-heads", DATABASE_URL=theirs)
        if database == "sqlite":
            assert (tmp_path / "p@ss%:#.db").exists()
        else:
            wrong = theirs.replace("p%40ss", "p%40s")
            refused = made.run("alembic", "current", status=255, DATABASE_URL=wrong).stdout
            place = r"\S+tester:\*\*\*@\S+"
            assert re.search(rf"FAILED: DATABASE_URL: cannot connect to {place}: ", refused)
            assert "Traceback" not in refused


def test_an_invalid_lock_timeout_is_reported_in_one_line(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    variables = {"DATABASE_URL": "sqlite:///app.db", "MIGRATION_LOCK_TIMEOUT": "soon"}
    printed = made.run("alembic", "upgrade", "head", status=1, **variables).stdout
    assert "MIGRATION_LOCK_TIMEOUT='soon': " in printed
    assert "Traceback" not in printed
