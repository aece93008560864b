"""New tables are created with all that their model has in this database, and nothing else."""

import sqlalchemy as sa
from alembic.operations import ops

from app.core.dialect import DIALECT
from app.core.migrations.created_tables import complete_tables

OTHER_DATABASE = {"postgresql": "mysql"}.get(DIALECT.name, "postgresql")
METADATA = sa.MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})
TABLE = sa.Table(
    "test__price",
    METADATA,
    sa.Column("amount", sa.Integer, sa.CheckConstraint("amount > 0", name="amount")),
    sa.CheckConstraint("amount < 9", name="ours").ddl_if(dialect=DIALECT.name),
    sa.CheckConstraint("amount < 8", name="theirs").ddl_if(dialect=OTHER_DATABASE),
    sa.Index("ours", "amount").ddl_if(dialect=DIALECT.name),
    sa.Index("theirs", "amount").ddl_if(dialect=OTHER_DATABASE),
)


def completed(*operations: ops.MigrateOperation) -> ops.UpgradeOps:
    upgrade = ops.UpgradeOps(list(operations))
    complete_tables(upgrade, METADATA, DIALECT)
    return upgrade


def test_checks_of_columns_are_created_with_their_table() -> None:
    [op] = completed(ops.CreateTableOp.from_table(TABLE)).ops
    assert isinstance(op, ops.CreateTableOp)
    checks = (item for item in op.to_table().constraints if isinstance(item, sa.CheckConstraint))
    assert {check.name for check in checks} == {"ck_test__price_amount", "ck_test__price_ours"}


def test_indexes_that_ddl_if_excludes_are_not_created() -> None:
    indexes = [ops.CreateIndexOp.from_index(index) for index in TABLE.indexes]
    [changes] = completed(ops.ModifyTableOps("test__price", list(indexes))).ops
    assert isinstance(changes, ops.ModifyTableOps)
    assert [op.index_name for op in changes.ops if isinstance(op, ops.CreateIndexOp)] == ["ours"]
