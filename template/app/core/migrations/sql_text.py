"""SQL in generated revisions: its colons are escaped, as the text of the model's are.

Alembic writes them unescaped, and `':x'` becomes `'NULL'` in the database:
https://docs.sqlalchemy.org/en/21/core/sqlelement.html#sqlalchemy.sql.expression.text
"""

import re

from alembic.ddl.impl import DefaultImpl
from sqlalchemy import ClauseElement

# What text() takes for a parameter.
COLON = re.compile(r"(?<![:\w]):(?=\w+(?![:\w]))")


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
        text = super().render_ddl_sql_expr(expr, is_server_default, is_index=is_index, **options)
        return text if is_index else COLON.sub(r"\\:", text)
