"""SQL in generated revisions: its colons are escaped, as the text of the model's are.

Alembic writes them unescaped, and `':x'` becomes `'NULL'` in the database:
https://docs.sqlalchemy.org/en/21/core/sqlelement.html#sqlalchemy.sql.expression.text
"""

import re

from alembic.ddl.impl import DefaultImpl
from alembic.util.sqla_compat import _textual_index_element
from sqlalchemy import ClauseElement, TextClause, text

# What text() takes for a parameter.
COLON = re.compile(r"(?<![:\w]):(?=\w+(?![:\w]))")
# What it took for one, which is not escaped.
PARAMETER = re.compile(r"(?<!\\)" + COLON.pattern)


class EscapingImpl(DefaultImpl):
    """The part of Alembic's implementation of a database that writes SQL into revisions."""

    def render_ddl_sql_expr(
        self,
        expr: ClauseElement,
        is_server_default: bool = False,
        is_index: bool = False,
        **options: object,
    ) -> str:
        """Return the SQL, with escaped colons, except for an index, which takes it as it is."""
        expr = _without_parameters(expr)
        sql = super().render_ddl_sql_expr(expr, is_server_default, is_index=is_index, **options)
        return sql if is_index else COLON.sub(r"\\:", sql)


def _without_parameters(expr: ClauseElement) -> ClauseElement:
    """Return SQL that was read from the database, in which text() takes `:x` for a parameter."""
    # Alembic's wrapper of an expression in an index.
    if isinstance(expr, _textual_index_element):
        expr = expr.text
    if isinstance(expr, TextClause) and any(one.required for one in expr._bindparams.values()):
        return text(PARAMETER.sub(r"\\:", expr.text))
    return expr
