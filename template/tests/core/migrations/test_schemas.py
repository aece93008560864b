"""Which schemas are compared, and how a schema is rejected where the database has none."""

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

from app.core.migrations import dialect, schemas
from app.core.migrations.autogenerate import exclude_tables, is_shared
from app.core.models import Base


def test_a_pattern_with_a_dot_matches_the_schema() -> None:
    assert is_shared("auth_user", ["auth_*"], "accounts")
    assert is_shared("auth_user", ["accounts.*"], "accounts")
    assert not is_shared("auth_user", ["accounts.*"])
    assert not is_shared("auth_user", ["accounts.*"], "billing")


def test_schemas_of_other_applications_are_not_compared() -> None:
    include_name = exclude_tables([], lambda: {"billing"})["include_name"]
    found = [None, "billing", "accounts"]
    assert [name for name in found if include_name(name, "schema", {})] == [None, "billing"]


def test_schemas_are_rejected_unless_the_database_supports_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata = sa.MetaData()
    sa.Table("test__invoice", metadata, schema="billing")
    monkeypatch.setattr(Base, "metadata", metadata)
    schemas.check_support(["billing.*"])
    if dialect.REASON_AGAINST_SCHEMAS is None:
        schemas.check_support([])
    else:
        message = r'Table billing\.test__invoice: .*__tablename__ = "billing_test__invoice"'
        with pytest.raises(CommandError, match=message):
            schemas.check_support([])
