"""Execute SQL on DATABASE_URL, one argument a statement; print the last one's rows as JSON.

In one transaction, or in none with --autocommit first.
"""

import json
import sys

from app.core.dialect import create_sync_engine
from app.core.settings import get_settings

# A percent sign is one.
NO_PARAMETERS = {"no_parameters": True}

if __name__ == "__main__":
    statements = sys.argv[1:]
    engine = create_sync_engine(get_settings().database.url)
    if statements[0] == "--autocommit":
        engine = engine.execution_options(isolation_level=statements.pop(0)[2:].upper())
    rows: list[list[object]] = []
    with engine.begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement, execution_options=NO_PARAMETERS)
            rows = [list(row) for row in result] if result.returns_rows else []
    engine.dispose()
    print(json.dumps(rows, default=str))
