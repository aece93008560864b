"""Changes of the models that plain Alembic misses, or reports every time."""

import re
from collections.abc import Callable

from tests.support.projects import Project
from tests.support.revisions import ALEMBIC

MODELS = """
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from app.core.models import Base

sa.Table("place", Base.metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table(
    "stay",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("place_id", sa.Integer),
    sa.Column("name", sa.String(30)),
    sa.Column("size", sa.Integer),
    sa.Column("ratio", sa.Float(53)),
    sa.Column("token", sa.LargeBinary(255)),
{items}
)
sa.Table(
    "invoice",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subtotal", sa.Numeric(10, 2), sa.Computed("id * 2")),
    sa.Column("total", sa.Numeric(10, 2), sa.Computed("id\\n * 3")),
)
"""

NAME = re.compile(r'(?<=")(?:code|at|data|span|home_id|work_id|(?:fk|uq|ix|ex)_\w+)(?=")')
FOREIGN_KEY = 'sa.ForeignKeyConstraint(["place_id"], ["place.id"], name="fk_stay_place"{options})'
UNIQUE = 'sa.UniqueConstraint("name", "size", name="uq_stay"{options})'
# The items of a table before and after a change.
CHANGES = {
    "postgresql": [
        ('sa.Column("data", postgresql.JSONB)', 'sa.Column("data", postgresql.JSONB)'),
        ('sa.Column("span", postgresql.INT4RANGE)', 'sa.Column("span", postgresql.INT4RANGE)'),
        (
            FOREIGN_KEY.format(options=', ondelete="CASCADE"'),
            FOREIGN_KEY.format(options=', deferrable=True, initially="DEFERRED"'),
        ),
        (
            UNIQUE.format(options=""),
            UNIQUE.format(options=", deferrable=True"),
        ),
        (
            'sa.Index("ix_partial", "name", postgresql_where=sa.text("size > 0"))',
            'sa.Index("ix_partial", "name", postgresql_where=sa.text("name LIKE \'a%\'"))',
        ),
        (
            'sa.Index("ix_lower", sa.func.lower(sa.text("name")))',
            'sa.Index("ix_lower", sa.func.lower(sa.text("name")), postgresql_include=["size"])',
        ),
        (
            'sa.Index("ix_data", "data", postgresql_using="gin")',
            'sa.Index("ix_data", "data", postgresql_using="gin",'
            ' postgresql_ops={"data": "jsonb_path_ops"})',
        ),
        (
            'postgresql.ExcludeConstraint(("span", "&&"), name="ex_stay")',
            'postgresql.ExcludeConstraint(("span", "&&"), name="ex_stay",'
            ' where=sa.text("size > 1"))',
        ),
        ("", 'postgresql.ExcludeConstraint(("span", "&&"), name="ex_added")'),
        ('postgresql.ExcludeConstraint(("span", "="), name="ex_removed")', ""),
        (
            'sa.Column("code", sa.String(9, collation="C"), comment="one")',
            'sa.Column("code", sa.String(9, collation="POSIX"), comment="two")',
        ),
    ],
    "mysql": [
        (FOREIGN_KEY.format(options=""), FOREIGN_KEY.format(options=', ondelete="CASCADE"')),
        (UNIQUE.format(options=""), ""),
        (
            'sa.Index("ix_name", "name", mysql_length={"name": 5}, mariadb_length={"name": 5})',
            'sa.Index("ix_name", "name", mysql_length={"name": 6}, mariadb_length={"name": 6})',
        ),
        ('sa.Index("ix_size", "size")', 'sa.Index("ix_size", sa.desc("size"))'),
        (
            'sa.Column("code", sa.String(9, collation="utf8mb4_bin"), comment="one")',
            'sa.Column("code", sa.String(9), comment="two")',
        ),
        # Keys that need an index, which is added, or dropped.
        (
            'sa.Column("home_id", sa.ForeignKey("place.id"))',
            'sa.Column("home_id", sa.ForeignKey("place.id"), index=True)',
        ),
        (
            'sa.Column("work_id", sa.ForeignKey("place.id"), unique=True)',
            'sa.Column("work_id", sa.ForeignKey("place.id"))',
        ),
        ('sa.Column("at", mysql.DATETIME())', 'sa.Column("at", mysql.DATETIME(fsp=6))'),
    ],
    "sqlite": [
        (UNIQUE.format(options=""), ""),
        (
            'sa.Index("ix_partial", "name", sqlite_where=sa.text("size > 0"))',
            'sa.Index("ix_partial", "name", sqlite_where=sa.text("name LIKE \'a%\'"))',
        ),
        (
            'sa.Index("ix_lower", sa.func.lower(sa.text("name")))',
            'sa.Index("ix_lower", sa.func.upper(sa.text("name")), unique=True)',
        ),
        # Unchanged, and kept although the table is copied.
        (
            'sa.Index("ix_kept", sa.func.lower(sa.text("name")), sa.desc("size"))',
            'sa.Index("ix_kept", sa.func.lower(sa.text("name")), sa.desc("size"))',
        ),
        ("", 'sa.Index("ix_added", sa.func.lower(sa.text("name")))'),
        ('sa.Index("ix_removed", sa.func.lower(sa.text("name")))', ""),
    ],
}


def test_changes_are_generated_and_reverted(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    models = made.path / "app/modules/item/models.py"
    original = models.read_text("utf-8")

    def write(position: int) -> None:
        items = ",\n".join(change[position] for change in CHANGES[database] if change[position])
        models.write_text(original + MODELS.replace("{items}", items), "utf-8")

    def alembic(*commands: str) -> None:
        made.python("-W", "error", "-c", ALEMBIC, *commands, DATABASE_URL=url)

    with made.server() as url:
        write(0)
        alembic("upgrade head", "revision --autogenerate -m first", "upgrade head", "check")
        write(1)
        alembic("revision --autogenerate -m second", "upgrade head", "check", "downgrade -1")
        write(0)
        [second] = (made.path / "alembic/versions").glob("2*_second.py")
        generated = second.read_text("utf-8").split("def downgrade")[0]
        second.unlink()
        alembic("check")
    for before, after in CHANGES[database]:
        [name] = NAME.findall(before or after)[:1]
        assert before == after or name in generated
