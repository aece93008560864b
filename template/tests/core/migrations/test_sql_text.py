"""SQL in generated revisions means what it means in the model."""

import pytest
import sqlalchemy as sa
from alembic.operations.ops import CreateIndexOp
from alembic.runtime.migration import MigrationContext

from app.core.dialect import DIALECT


def compiled(text: sa.TextClause) -> str:
    return str(text.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))


@pytest.mark.parametrize("sql", [r"'\:x'", "'a: b'", "1::integer", r"'12:30:45 \:00'", r"'\\:x'"])
def test_colons_are_escaped_in_revisions(sql: str) -> None:
    rendered = MigrationContext.configure(dialect=DIALECT).impl.render_ddl_sql_expr(sa.text(sql))
    assert compiled(sa.text(rendered)) == compiled(sa.text(sql))


def test_sql_of_an_index_is_kept() -> None:
    impl = MigrationContext.configure(dialect=DIALECT).impl
    assert impl.render_ddl_sql_expr(sa.text(r"'\:x'"), is_index=True) == "':x'"


def test_sql_that_was_read_from_the_database_has_no_parameters() -> None:
    impl = MigrationContext.configure(dialect=DIALECT).impl
    assert impl.render_ddl_sql_expr(sa.text("':x'")) == r"'\:x'"
    index = sa.Index("ix", sa.text("lower(':x')"), _table=sa.Table("test__text", sa.MetaData()))
    [expression] = CreateIndexOp.from_index(index).to_index().expressions
    assert isinstance(expression, sa.ColumnElement)
    assert impl.render_ddl_sql_expr(expression, is_index=True) == "lower(':x')"
