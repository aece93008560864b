"""Renames, which Alembic writes as a drop and an add."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC, add_revision

MODELS = """
from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.models import Base, Entity, Versioned


class Item(Versioned, Entity):
    __tablename__ = "item"

    name: Mapped[str] = mapped_column(String(200), index=True)
    description: Mapped[str | None] = mapped_column(String(2000))


class Tag(Base):
    __tablename__ = "tag"

    code: Mapped[str] = mapped_column(String(9), primary_key=True)
    name: Mapped[str] = mapped_column(String(20), server_default="it's", index=True)


class Thing(Base):
    __tablename__ = "thing"

    ident: Mapped[str] = mapped_column(String(8), primary_key=True)
    tag_code: Mapped[str] = mapped_column(ForeignKey("tag.code"), index=True)
    done: Mapped[bool]
    size: Mapped[int | None]
    title: Mapped[str] = mapped_column(String(30), server_default="none", unique=True)
"""
RENAMES = {"ident": "number", "tag_code": "label_code", "done": "is_done", "title": "heading"}
# `size` is no rename: the type of `width` differs.
CHANGES = RENAMES | {
    '"tag"': '"label"',
    "tag.code": "label.code",
    "size: Mapped[int": "width: Mapped[str",
}


def change_models(made: Project, changes: dict[str, str]) -> None:
    models = made.path / "app/modules/item/models.py"
    code = MODELS
    for old, new in changes.items():
        code = code.replace(old, new)
    models.write_text(code, "utf-8")


def create_tables(made: Project, url: str) -> None:
    change_models(made, {})
    commands = ("upgrade head", "revision --autogenerate -m before", "upgrade head", "check")
    made.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
    made.sql(
        url,
        "INSERT INTO tag (code) VALUES ('a')",
        "INSERT INTO thing (ident, tag_code, done, title) VALUES ('1', 'a', true, 'first')",
    )


def generate(made: Project, url: str) -> tuple[Path, str]:
    """Return the revision that autogenerate writes, and what it prints."""
    command = ("alembic", "revision", "--autogenerate", "-m", "after")
    printed = made.run(*command, DATABASE_URL=url).stdout
    made.run("ruff", "check", "alembic")
    made.run("ruff", "format", "--check", "alembic")
    [revision] = (made.path / "alembic/versions").glob("2*_after.py")
    return revision, printed


def apply_comments(revision: Path) -> None:
    """Follow the comments: replace each drop and add by the rename."""
    code = revision.read_text("utf-8")
    # As docs/migrations.md says of the index of a renamed table.
    for old, new in (("tag", "label"), ("label", "tag")):
        rename = f'op.rename_table("{old}", "{new}")\n'
        assert rename in code
        code = code.replace(rename, f'{rename}    op.drop_index("ix_{old}_name", "{new}")\n')
    lines = re.sub(r"(?m)^    # (op\.|    \w+=)", r"    \1", code).splitlines()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Expr) and is_replaced(node.value):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[number - 1] = ""
    revision.write_text("\n".join(lines), "utf-8")


def is_replaced(call: ast.expr) -> bool:
    names = {node.value for node in ast.walk(call) if isinstance(node, ast.Constant)}
    renamed = {"tag", "label", *RENAMES, *RENAMES.values()}
    code = ast.unparse(call)
    # As docs/migrations.md says of a primary key whose column was renamed.
    if "create_primary_key" in code or "'primary'" in code:
        return True
    operation = re.match(r"\w+\.((add|drop)_column|(create|drop)_table)\(", code)
    return operation is not None and not names.isdisjoint(renamed)


def test_the_comment_of_a_rename_gives_what_keeps_the_values(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    with made.server() as url:
        create_tables(made, url)
        change_models(made, CHANGES)
        revision, printed = generate(made, url)
        warnings = [line for line in printed.splitlines() if "WARN" in line]
        for old, new in RENAMES.items():
            sentence = (
                f"thing.{old} is dropped and thing.{new}, of the same type, is added: its values"
            )
            [warning] = [line for line in warnings if sentence in line]
            assert re.search(
                rf'op\.alter_column\("thing", "{old}", .*new_column_name="{new}"', warning
            )
        [warning] = [line for line in warnings if 'op.rename_table("tag", "label")' in line]
        assert "tag is dropped and label, with the same columns, is added: its rows" in warning
        code = revision.read_text("utf-8")
        assert code.count("# op.alter_column(") == 2 * len(RENAMES)
        assert code.count("# op.rename_table(") == 2
        assert "width, of the same type" not in code

        apply_comments(revision)
        made.run("ruff", "check", "alembic")
        commands = ("upgrade head", "check", "downgrade -1", "upgrade head", "check")
        made.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
        rows = (
            "SELECT label_code, is_done, heading, name FROM thing JOIN label ON code = label_code"
        )
        [[code, is_done, *names]] = made.sql(url, rows)
        assert (code, bool(is_done), names) == ("a", True, ["first", "it's"])
        made.sql(url, "INSERT INTO label (code) VALUES ('b')")
        made.sql(url, "INSERT INTO thing (number, label_code, is_done) VALUES ('2', 'b', true)")
        assert made.sql(url, "SELECT heading FROM thing WHERE number = '2'") == [["none"]]


BY_HAND = """op.alter_column("thing", "{tag}_code", new_column_name="{label}_code",
        existing_type=sa.String(9), existing_nullable=False)
    op.alter_column("thing", "{title}", new_column_name="{heading}",
        existing_type=sa.String(30), existing_nullable=False, existing_server_default="none")
    {lines}
"""
# As docs/migrations.md says.
INDEX = """op.create_index("ix_thing_{label}_code", "thing", ["{label}_code"])
    op.drop_index("ix_thing_{tag}_code", "thing")
"""
UNIQUE = """    op.drop_constraint("uq_thing_{title}", "thing", type_="unique")
    op.create_unique_constraint("uq_thing_{heading}", "thing", ["{heading}"])
"""
IN_BATCH = """    with op.batch_alter_table("thing") as batch_op:
        batch_op.drop_constraint("uq_thing_{title}", type_="unique")
        batch_op.create_unique_constraint("uq_thing_{heading}", ["{heading}"])
"""


def rename_by_hand(made: Project, previous: str, lines: str) -> Path:
    names = {"tag": "tag", "label": "label", "title": "title", "heading": "heading"}
    reverse = {"tag": "label", "label": "tag", "title": "heading", "heading": "title"}
    upgrade, downgrade = (
        BY_HAND.format(**words, lines=lines.format(**words)) for words in (names, reverse)
    )
    return add_revision(made, "by_hand", previous, upgrade, downgrade)


def test_a_column_that_was_renamed_by_hand_keeps_the_names_of_its_index_and_key(
    project: Callable[..., Project], database: str
) -> None:
    made = project(database)
    with made.server() as url:
        create_tables(made, url)
        change_models(made, {"tag_code": "label_code", "title": "heading"})
        head = (made.path / "alembic/versions/HEAD").read_text("utf-8").strip()
        revision = rename_by_hand(made, head, "")
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        printed = made.run("alembic", "check", DATABASE_URL=url, status=255).stdout
        detected = r"Detected (added|removed) (?:index|unique constraint) '(\w+)'"
        assert set(re.findall(detected, printed)) == {
            ("removed", "ix_thing_tag_code"),
            ("added", "ix_thing_label_code"),
            ("removed", "uq_thing_title"),
            ("added", "uq_thing_heading"),
        }

        made.run("alembic", "downgrade", "-1", DATABASE_URL=url)
        revision.unlink()
        rename_by_hand(made, head, INDEX + (IN_BATCH if database == "sqlite" else UNIQUE))
        commands = ("upgrade head", "check", "downgrade -1", "upgrade head", "check")
        made.python("-c", ALEMBIC, *commands, DATABASE_URL=url)
        assert made.sql(url, "SELECT label_code, heading FROM thing") == [["a", "first"]]
