"""Print the schema and the rows of DATABASE_URL, as the server tells them, as JSON."""

import json
from typing import Any

from app.core.dialect import create_sync_engine
from app.core.settings import get_settings
from sqlalchemy import Connection, MetaData, inspect, select

ASPECTS = ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints")


def describe(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)
    metadata = MetaData()
    metadata.reflect(connection)
    names = sorted(inspector.get_table_names())
    return {
        name: {
            **{aspect: getattr(inspector, f"get_{aspect}")(name) for aspect in ASPECTS},
            "check_constraints": inspector.get_check_constraints(name),
            "rows": sorted(map(list, connection.execute(select(metadata.tables[name]))), key=str),
        }
        for name in names
    }


if __name__ == "__main__":
    engine = create_sync_engine(get_settings().database.url)
    with engine.connect() as connection:
        print(json.dumps(describe(connection), default=repr, indent=1))
    engine.dispose()
