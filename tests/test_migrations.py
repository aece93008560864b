"""What a user does with migrations, on real servers: several at once, offline, after a mishap."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.projects import Project, run, surroundings
from tests.test_rendered_code import ALEMBIC

PASSWORD = "p@ss%/:#?"

REVISION = '''"""{name}"""

import os
import time
from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {previous!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


def add_revision(
    made: Project, name: str, previous: str = "0001", upgrade: str = "pass", downgrade: str = "pass"
) -> Path:
    """Write a revision, as a user would, and name it as the head."""
    code = {"upgrade": upgrade.strip(), "downgrade": downgrade.strip()}
    file = made.path / "alembic/versions" / f"{name}.py"
    file.write_text(REVISION.format(name=name, previous=previous, **code), "utf-8")
    (made.path / "alembic/versions/HEAD").write_text(f"{name}\n", "utf-8")
    return file


def client(made: Project, database: str, url: str) -> list[str]:
    """Return the command of the database's own client, which reads SQL from standard input."""
    parts = urlsplit(url)
    if database == "postgresql":
        [psql] = made.environment.glob("lib/python*/site-packages/**/pginstall/bin/psql")
        return [str(psql), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url]
    if database == "mysql":
        [socket] = parse_qs(parts.query)["unix_socket"]
        program = shutil.which("mariadb") or "mysql"
        return [program, "--no-defaults", "--user=root", f"--socket={socket}", "app"]
    if shutil.which("sqlite3") is None:
        reason = "sqlite3 is not on the PATH; install it: apt-get install sqlite3"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return ["sqlite3", "-bail", parts.path[1:]]


EVERY_KIND = """
price = op.create_table(
        "price",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Uuid({uuid}), sa.ForeignKey("item.id", name="fk_price_item")),
        sa.Column("amount", sa.Numeric(10, 2), nullable=False, server_default="1.50"),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("since", sa.Date),
        sa.Column("note", sa.String(100), server_default="it's 100%"),
        sa.Column("at", sa.DateTime, server_default=sa.func.now()),
        sa.UniqueConstraint("note", name="uq_price_note"),
        sa.CheckConstraint("amount > 0", name="ck_price_amount"),
    )
    op.create_index("ix_price_since", "price", ["since", "amount"])
    op.bulk_insert(price, [
        {{"id": 1, "amount": Decimal("2.25"), "active": False, "since": date(2026, 1, 2),
          "note": "a 'quoted' :name 50%", "at": datetime(2026, 1, 2, 3, 4, 5)}},
    ])
    update = sa.text("UPDATE price SET amount = :amount WHERE note = :note")
    op.execute(update.bindparams(amount=3, note="a 'quoted' :name 50%"))
"""


# What the connection is told, and where a revision begins that is rolled back as a whole.
PREPARATIONS = {
    "postgresql": (b"SET lock_timeout = '5s';", b"BEGIN;"),
    "mysql": (b"SET SESSION lock_wait_timeout = 5,",),
    "sqlite": (b"PRAGMA foreign_keys = OFF;", b"BEGIN;"),
}


def test_sql_for_the_servers_client_does_what_the_connection_does(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database, modules=["item", "tag"])
    uuid = "native_uuid=False" if database == "mysql" else ""
    add_revision(made, "prices", upgrade=EVERY_KIND.format(uuid=uuid))
    describe = str(Path(__file__).with_name("describe_schema.py"))

    def described(url: str) -> str:
        return made.python(describe, PYTHONPATH=str(made.path), DATABASE_URL=url).stdout

    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        online = described(url)
    with made.server() as url:
        sql = subprocess.run(
            [made.program("alembic"), "upgrade", "head", "--sql"],
            cwd=made.path,
            env=surroundings(made.path) | {"DATABASE_URL": url},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        assert all(statement in sql for statement in PREPARATIONS[database])
        subprocess.run(client(made, database, url), input=sql, check=True)
        assert described(url) == online
        assert '"alembic_version"' in online
        assert "quoted" in online
        made.run("alembic", "current", "--check-heads", DATABASE_URL=url)


def test_a_password_of_special_characters_works_online_and_offline(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    with made.server() as url:
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
            assert re.search(r"FAILED: \S+tester:\*\*\*@\S+ cannot be reached: ", refused)
            assert "Traceback" not in refused


# Waits until a file is there, though not for ever: a test that fails leaves nothing running.
SLOW = """
op.create_table("ran", sa.Column("n", sa.Integer))
    deadline = time.monotonic() + 60
    while not os.path.exists(os.environ["GO"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    op.execute("INSERT INTO ran VALUES (1)")
"""
CONCURRENTLY = """
with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.create_index("ix_item_text", "item", ["description"], postgresql_concurrently=True)
"""


def test_upgrades_that_run_together_run_each_revision_once(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    add_revision(made, "slow", upgrade=SLOW)
    last = (
        CONCURRENTLY
        if database == "postgresql"
        else 'op.add_column("ran", sa.Column("m", sa.Integer))'
    )
    add_revision(made, "last", "slow", upgrade=last)
    logs = [tmp_path / f"{number}.log" for number in range(4)]

    def printed() -> str:
        return "".join(log.read_text("utf-8") for log in logs)

    go = tmp_path / "go"
    with made.server() as url:
        upgrades = []
        for log in logs:
            with log.open("w") as file:
                upgrades.append(
                    subprocess.Popen(
                        [made.program("python"), "-m", "alembic", "upgrade", "head"],
                        cwd=made.path,
                        env=surroundings(made.path) | {"DATABASE_URL": url, "GO": str(go)},
                        stderr=file,
                    )
                )
        while printed().count("waiting up to 300 s for it") < 3:
            assert [process.poll() for process in upgrades] == [None] * 4, printed()
            time.sleep(0.1)
        go.touch()
        assert [process.wait(timeout=120) for process in upgrades] == [0] * 4, printed()
        for step in ("-> 0001", "0001 -> slow", "slow -> last"):
            assert len(re.findall(rf"Running upgrade  ?{step}", printed())) == 1
        assert made.sql(url, "SELECT count(*) FROM ran") == [[1]]


def test_an_upgrade_that_is_killed_frees_the_lock(
    project: Callable[..., Project], database: str, tmp_path: Path
) -> None:
    made = project(database)
    go = tmp_path / "go"
    add_revision(made, "slow", upgrade=SLOW)
    with made.server() as url:
        made.run("alembic", "upgrade", "0001", DATABASE_URL=url)
        holder = subprocess.Popen(
            [made.program("alembic"), "upgrade", "head"],
            cwd=made.path,
            env=surroundings(made.path) | {"DATABASE_URL": url, "GO": str(go)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert holder.stderr
        while "Running upgrade 0001 -> slow" not in holder.stderr.readline():
            assert holder.poll() is None
        limits = {"DATABASE_URL": url, "MIGRATION_WAIT_TIMEOUT": "1"}
        refused = made.run("alembic", "upgrade", "head", status=255, **limits).stdout
        assert "was not done within 1 s (MIGRATION_WAIT_TIMEOUT)" in refused
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=60)
        if database == "mysql":
            # What a revision did to tables is committed; here it is just the one table.
            made.sql(url, "DROP TABLE IF EXISTS ran")
        go.touch()
        limits |= {"MIGRATION_WAIT_TIMEOUT": "30", "GO": str(go)}
        made.run("alembic", "upgrade", "head", status=0, **limits)
        assert made.sql(url, "SELECT count(*) FROM ran") == [[1]]


def test_a_limit_that_is_no_number_is_named(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    variables = {"DATABASE_URL": "sqlite:///app.db", "MIGRATION_LOCK_TIMEOUT": "soon"}
    printed = made.run("alembic", "upgrade", "head", status=1, **variables).stdout
    assert "MIGRATION_LOCK_TIMEOUT 'soon' is wrong" in printed
    assert "Traceback" not in printed


def test_the_commands_of_the_manual(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    make = 'op.create_table("{0}", sa.Column("n", sa.Integer))'
    drop = 'op.drop_table("{0}")'
    add_revision(made, "left", upgrade=make.format("l"), downgrade=drop.format("l"))
    add_revision(made, "right", upgrade=make.format("r"), downgrade=drop.format("r"))
    with made.server() as url:

        def alembic(*commands: str) -> str:
            return made.python("-c", ALEMBIC, *commands, DATABASE_URL=url).stdout

        many = made.run("alembic", "upgrade", "head", status=255, DATABASE_URL=url).stdout
        assert "multiple head revisions" in many.lower()
        two = made.python("-m", "pytest", "-q", "-k", "one_head", status=1).stdout
        assert "follow the same revision: alembic merge heads" in two
        printed = alembic(
            *("upgrade heads", "merge heads -m both --rev-id both", "upgrade head"),
            *("current", "history --indicate-current"),
        )
        assert (made.path / "alembic/versions/HEAD").read_text("utf-8") == "both\n"
        assert "\nboth (head) (mergepoint)\n" in printed
        assert re.search(r"(left, right|right, left) -> both \(head\) \(current\)", printed)
        printed = alembic("downgrade left", "current")
        assert set(re.findall(r"(?m)^\w+$", printed)) == {"left", "right"}
        alembic("ensure_version")
        assert made.sql(url, "SELECT * FROM alembic_version")
        printed = alembic("upgrade head", "downgrade base", "upgrade +1", "downgrade -1", "current")
        assert "Running downgrade 0001 -> , initial" in printed
        assert "\nboth (head)" in alembic("upgrade left", "stamp both", "current")
        alembic("stamp --purge left", "upgrade head", "current --check-heads")
        # The project's tests can go through branches, too.
        models = "from sqlalchemy import Column, Integer, Table\nfrom app.core.models import Base\n"
        tables = "".join(f'Table("{n}", Base.metadata, Column("n", Integer))\n' for n in "lr")
        with (made.path / "app/modules/item/models.py").open("a", encoding="utf-8") as file:
            file.write(f"\n{models}{tables}")
        made.python("-m", "pytest", "-q", "tests/test_migrations.py")


def test_alembic_works_from_anywhere(project: Callable[..., Project], tmp_path: Path) -> None:
    made = project("sqlite")
    moved = made.path.rename(tmp_path / "a project with spaces")
    ini = str(moved / "alembic.ini")
    made = Project(moved, made.environment, made.types)
    url = f"sqlite:///{tmp_path}/there is.db"
    program = made.program("alembic")
    for command in ([program], [made.program("python"), "-m", "alembic"]):
        run([*command, "-c", ini, "upgrade", "head"], tmp_path, DATABASE_URL=url)
        run([*command, "-c", ini, "check"], tmp_path, DATABASE_URL=url)
        run([*command, "-c", ini, "downgrade", "base"], tmp_path, DATABASE_URL=url)
        made.run(*command, "upgrade", "head", DATABASE_URL=url)
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
    revise = [program, "-c", ini, "revision", "-m", "more", "--rev-id", "more"]
    run(revise, tmp_path, DATABASE_URL=url, PATH=path)
    assert (moved / "alembic/versions/HEAD").read_text("utf-8") == "more\n"
    made.run("ruff", "format", "--check")
    shutil.rmtree(moved / "alembic/versions")
    run(revise, tmp_path, DATABASE_URL=url, PATH=path)
    assert [file.suffix for file in sorted((moved / "alembic/versions").iterdir())] == [".py", ""]


def test_an_environment_has_revisions_of_its_own(project: Callable[..., Project]) -> None:
    made = project("sqlite", shared_tables=["auth_*"])
    manual = (made.path / "alembic/README.md").read_text("utf-8")
    section = re.search(r"```ini\n(\[testing\]\n.*?)```", manual, re.DOTALL)
    commands = re.findall(r"uv run (alembic -n testing .*)", manual)
    assert section
    assert len(commands) == 2
    with (made.path / "alembic.ini").open("a", encoding="utf-8") as ini:
        ini.write(f"\n{section[1]}")
    for command in commands:
        made.run("bash", "-c", command, DATABASE_URL="sqlite:///app.db")
    made.sql("sqlite:///app.db", "CREATE TABLE auth_user (id INTEGER)")
    made.run("alembic", "-n", "testing", "check", DATABASE_URL="sqlite:///app.db")
    current = made.run("alembic", "-n", "testing", "current", DATABASE_URL="sqlite:///app.db")
    assert len(re.findall(r"\(head\)", current.stdout)) == 2
    assert (made.path / "alembic/versions/HEAD").read_text("utf-8") == "0001\n"
    made.python("-m", "pytest", "-q", "tests/test_migrations.py")


def test_two_branches_with_a_revision_each_conflict_in_git(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@localhost")
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    for branch in ("main", "left", "right"):
        if branch != "main":
            made.run("git", "checkout", "--quiet", "-b", branch, "main")
            made.run("alembic", "revision", "-m", branch)
        made.run("git", "add", ".")
        made.run(*git, "commit", "--quiet", "-m", branch)
    printed = made.run(*git, "merge", "left", status=1).stdout
    assert "CONFLICT (content): Merge conflict in alembic/versions/HEAD" in printed


def test_nothing_is_written_when_nothing_changed(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    versions = made.path / "alembic/versions"
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        files = sorted(versions.glob("*.py"))
        command = ("alembic", "revision", "--autogenerate", "-m", "nothing")
        assert "no revision to write" in made.run(*command, DATABASE_URL=url).stdout
        assert sorted(versions.glob("*.py")) == files
        assert "No new upgrade operations" in made.run("alembic", "check", DATABASE_URL=url).stdout
        made.run("alembic", "revision", "-m", "by hand", DATABASE_URL=url)
        [by_hand] = versions.glob("2*_by_hand.py")
        assert "from alembic import op" in by_hand.read_text("utf-8")


def test_tables_of_somebody_else_are_left_alone(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database, shared_tables=["auth_*", "django_session"])
    made.python("-m", "pytest", "-q", "tests/core/test_migrations.py")
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        made.sql(
            url,
            "CREATE TABLE auth_user (id INTEGER PRIMARY KEY)",
            "CREATE TABLE auth_group (id INTEGER, user_id INTEGER REFERENCES auth_user (id))",
            "CREATE TABLE django_session (id INTEGER)",
        )
        printed = made.run("alembic", "check", DATABASE_URL=url).stdout
        for name in ("auth_user", "auth_group", "django_session"):
            assert f"Left alone, as shared_tables in alembic.ini says: {name}" in printed
        made.sql(url, "CREATE TABLE django_sessions (id INTEGER)")
        command = ("alembic", "revision", "--autogenerate", "-m", "more")
        warned = made.run(*command, DATABASE_URL=url).stdout
        assert re.search(r"dangerous: .*_more.py:\d+: [Dd]rop.* table", warned)
        [revision] = (made.path / "alembic/versions").glob("2*_more.py")
        dropped = revision.read_text("utf-8").split("def downgrade")[0]
        assert 'op.drop_table("django_sessions")' in dropped
        assert "auth_" not in dropped
        assert '"django_session"' not in dropped


def test_models_are_found_by_a_walk(project: Callable[..., Project], database: str) -> None:
    made = project(database, modules=["item"], model_discovery="scan")
    package = made.path / "app/modules/by_hand/models"
    package.mkdir(parents=True)
    model = (made.path / "app/modules/item/models.py").read_text("utf-8")
    model = model.replace("class Item", "class ByHand").replace('"item"', '"by_hand"')
    (package / "deeper.py").write_text(model, "utf-8")
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        printed = made.run("alembic", "revision", "--autogenerate", "-m", "x", DATABASE_URL=url)
        assert "Found 2 models in 2 modules" in printed.stdout
    [revision] = (made.path / "alembic/versions").glob("2*_x.py")
    assert 'op.create_table(\n        "by_hand"' in revision.read_text("utf-8")
    made.python("-m", "pytest", "-q", "tests/test_migrations.py")


def test_the_order_of_imports_changes_nothing(project: Callable[..., Project]) -> None:
    made = project("sqlite", modules=["item", "tag", "user"])
    names = [f"app.modules.{name}.models" for name in ("item", "tag", "user")]
    code = (
        "import importlib, sys; from app.core.models import Base;"
        "[importlib.import_module(name) for name in sys.argv[1:]];"
        "print([(str(c), str(c.type)) for t in Base.metadata.sorted_tables for c in t.columns])"
    )
    orders = (names, names[::-1], [*names, *names, "app.main"], ["app.main", *names[::-1]])
    assert len({made.python("-c", code, *order).stdout for order in orders}) == 1


def test_a_revision_that_rows_forbid_fails_the_tests(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    code = {
        "postgresql": 'op.add_column("item", sa.Column("n", sa.Integer, nullable=False))',
        # It would fill the new column with zeros, unasked.
        "mysql": 'op.execute("ALTER TABLE item ADD n INTEGER, MODIFY name VARCHAR(0)")',
        "sqlite": 'op.add_column("item", sa.Column("n", sa.Integer, nullable=False))',
    }[database]
    add_revision(made, "strict", upgrade=code, downgrade='op.drop_column("item", "n")')
    test = ("-m", "pytest", "-q", "-k", "rows_survive or goes_up_down_and_up")
    printed = made.python(*test, status=1).stdout
    assert "upgrade 0001 -> strict, strict: failed." in printed
    assert re.search("FAILED.*test_rows_survive_every_revision", printed)
    add_revision(made, "strict", upgrade='op.execute("DELETE FROM item")')
    assert "strict.py loses rows of ['item']" in made.python(*test, status=1).stdout
    add_revision(made, "strict", upgrade="op.execute(\"UPDATE item SET name = 'same'\")")
    assert "gives back" in made.python(*test, status=1).stdout
    code = "# lossy: the names were wrong\n    op.execute(\"UPDATE item SET name = 'same'\")"
    add_revision(made, "strict", upgrade=code)
    made.python(*test)


MODELS = """
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CHAR, JSON, CheckConstraint, Column, Computed, Dialect, ForeignKey, Identity, Integer, Numeric,
    SmallInteger, String, Table,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from app.core.models import Base, Entity, Versioned


class Code(TypeDecorator[str]):
    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(CHAR(9))


class Box(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "VARCHAR(30)"


class AuthUser(Base):
    __tablename__ = "auth_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(10))


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    item_id: Mapped[UUID] = mapped_column(ForeignKey("item.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("auth_user.id"), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("note.id"), index=True)
    size: Mapped[int] = mapped_column(SmallInteger, unique=True)
    price: Mapped[Decimal] = mapped_column(Numeric(4, 2), server_default="1")
    code: Mapped[str] = mapped_column(Code)
    box: Mapped[str | None] = mapped_column(Box)
    data: Mapped[Any] = mapped_column(JSON)
    short: Mapped[str] = mapped_column(String(1))


link = Table(
    "link",
    Base.metadata,
    Column("note_id", ForeignKey("note.id"), primary_key=True),
    Column("item_id", ForeignKey("item.id"), primary_key=True),
)


class Role(Base):
    __tablename__ = "role"
    __table_args__ = (CheckConstraint("name IN ('new', 'old')", name="known"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(10))
    size: Mapped[int | None]
    twice: Mapped[int | None] = mapped_column(Computed("size * 2"))
"""


def test_what_users_model_passes_the_tests(project: Callable[..., Project], database: str) -> None:
    made = project(database, shared_tables=["auth_*"])
    (made.path / "app/modules/item/models.py").write_text(MODELS, "utf-8")
    # A shared table may keep its character set.
    charset = "CHARACTER SET latin1" if database == "mysql" else ""
    theirs = f"CREATE TABLE auth_user (id INTEGER PRIMARY KEY, name VARCHAR(10) {charset})"
    with made.server() as url:
        made.sql(url, theirs)
        commands = ["upgrade head", "revision --autogenerate -m more", "upgrade head", "check"]
        again = ("downgrade -1", "upgrade head")
        made.python("-c", ALEMBIC, *commands, *again, DATABASE_URL=url)
        fewer = re.sub("(?m)^    parent_id: .*\n", "", MODELS)
        (made.path / "app/modules/item/models.py").write_text(fewer, "utf-8")
        commands = ["revision --autogenerate -m less", "upgrade head", "check"]
        made.python("-c", ALEMBIC, *commands, *again, DATABASE_URL=url)
    versions = made.path / "alembic/versions"
    made.run("ruff", "check", "alembic")
    made.run("ruff", "format", "--check", "alembic")
    # Rows of the revision's own, with and without a key, and a table by another name.
    seed = "INSERT INTO role {0} VALUES ({1}'new')"
    add_revision(
        made,
        "seeds",
        (versions / "HEAD").read_text("utf-8").strip(),
        upgrade=f"""op.execute("{seed.format("(name)", "")}")
    op.rename_table("role", "rank")
    op.rename_table("rank", "role")
""",
        downgrade="op.execute(\"DELETE FROM role WHERE name = 'new'\")",
    )
    test = ("-m", "pytest", "-q", "-W", "ignore", "tests/test_migrations.py")
    printed = made.python(*test, status=1).stdout
    assert "No example of a row of role: add to EXAMPLES in" in printed
    examples = made.path / "tests/example_rows.py"
    help_it = 'Any]] = {\n    ("role", "name"): lambda _: "old",'
    examples.write_text(examples.read_text("utf-8").replace("Any]] = {", help_it, 1), "utf-8")
    made.python(*test)


DANGEROUS = {
    'op.drop_table("item")': "drop",
    'op.drop_column("item", "name")': "drop",
    'op.add_column("item", sa.Column("n", sa.Integer, nullable=False))': "default",
    'op.alter_column("item", "name", type_=sa.Text(), existing_type=sa.String(200))': "type",
    'op.execute("DROP TABLE item")': "drop",
    'op.execute("ALTER TABLE item ADD a INT, DROP COLUMN name")': "drop",
}
INDEX = 'op.create_index("ix_item_description", "item", ["description"])'


def test_dangerous_operations_are_warned_of_and_silenced_line_by_line(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    dangerous = DANGEROUS | ({INDEX: "index"} if database == "postgresql" else {})
    harmless = 'op.add_column("item", sa.Column("m", sa.Integer))'
    file = add_revision(made, "bold", upgrade="\n    ".join([harmless, *dangerous]))
    test = ("-m", "pytest", "-q", "-k", "dangerous_operations", "tests/test_migrations.py")
    warned = made.python(*test).stdout
    code = file.read_text("utf-8").splitlines()
    for line, word in dangerous.items():
        number = next(n for n, text in enumerate(code, 1) if text.strip() == line)
        assert re.search(rf"(?i)bold.py:{number}: .*{word}", warned), line
    assert len(re.findall(r"DangerousOperationWarning: bold.py", warned)) >= len(dangerous)
    number = next(n for n, text in enumerate(code, 1) if text.strip() == harmless)
    assert f"bold.py:{number}:" not in warned
    reasons = "\n    ".join([harmless, *(f"{line}  # safe: it is unused" for line in dangerous)])
    add_revision(made, "bold", upgrade=reasons)
    assert "bold.py" not in made.python(*test).stdout
    add_revision(made, "bold", upgrade=reasons.replace("# safe: it is unused", "# safe:"))
    assert "bold.py" in made.python(*test).stdout


def test_the_schema_is_drawn(project: Callable[..., Project], database: str) -> None:
    made = project(database, modules=["item", "tag"])
    with (made.path / "app/modules/tag/models.py").open("a", encoding="utf-8") as models:
        models.write(
            "    item_id: Mapped[UUID | None] = mapped_column(ForeignKey('item.id'))\n"
            "from uuid import UUID\nfrom sqlalchemy import ForeignKey\n"
        )
    code = (made.path / "app/modules/tag/models.py").read_text("utf-8")
    imports = "from uuid import UUID\nfrom sqlalchemy import ForeignKey\n"
    (made.path / "app/modules/tag/models.py").write_text(
        imports + code.replace(imports, ""), "utf-8"
    )
    add_revision(made, "links", upgrade="pass")
    made.run("nox", "-s", "schema")
    drawn = (made.path / "docs/schema.md").read_text("utf-8")
    assert re.search(r"item .*--.* tag", drawn)
    assert "revision_0001 --> revision_links" in drawn


def test_what_the_manuals_show_for_python_runs(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    manual = (made.path / "alembic/README.md").read_text("utf-8")
    readme = (made.path / "README.md").read_text("utf-8")
    migrations = re.search(r"```python\n(from alembic import command\n.*?)```", manual, re.DOTALL)
    job = re.search(r"```python\n(from app.core.database import.*?)```", readme, re.DOTALL)
    assert migrations
    assert job
    code = f"""
import asyncio
from app.core.database import create_engine
from app.core.settings import get_settings

async def main():
    engine = create_engine(get_settings().database)
    {migrations[1].replace(chr(10), chr(10) + "    ")}
    async with engine.connect() as connection:
        await connection.run_sync(lambda c: command.current(alembic_config(c)))
    await upgrade(engine)
    await engine.dispose()

asyncio.run(main())
from app.modules.item.models import Item
{job[1]}"""
    with made.server() as url:
        printed = made.python("-c", code, DATABASE_URL=url).stdout
        assert "0001" not in printed
        assert made.sql(url, "SELECT name FROM item") == [["made by a job"]]


def test_a_failing_command_ends(project: Callable[..., Project], database: str) -> None:
    """Not even a driver's thread may keep the process: https://github.com/omnilib/aiosqlite/issues/369."""
    made = project(database)
    add_revision(made, "wrong", upgrade="1 / 0")
    with made.server() as url:
        began = time.monotonic()
        printed = made.run("alembic", "upgrade", "head", status=1, DATABASE_URL=url).stdout
        assert "ZeroDivisionError" in printed
        assert "upgrade 0001 -> wrong, wrong: failed." in printed
        assert "Committed before, in this run: upgrade  -> 0001, initial." in printed
        assert time.monotonic() - began < 60
