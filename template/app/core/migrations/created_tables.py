"""What a generated revision creates: all that a model has in this database, and nothing else.

Alembic leaves the CHECK constraints of columns out of new tables, and ignores `ddl_if`:
https://github.com/sqlalchemy/alembic/issues/1600
https://github.com/sqlalchemy/alembic/issues/1491
"""

from collections.abc import Iterator
from itertools import chain

from alembic.operations.ops import CreateIndexOp, CreateTableOp, ModifyTableOps, UpgradeOps
from sqlalchemy import CheckConstraint, Column, Constraint, Dialect, Index, MetaData
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler


def complete_tables(operations: UpgradeOps, metadata: MetaData, dialect: Dialect) -> None:
    """Add the CHECK constraints of columns to new tables; remove what `ddl_if` excludes."""
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]
    excluded = _excluded_indexes(metadata, compiler)
    for op in operations.ops:
        if isinstance(op, CreateTableOp):
            items = chain(op.columns, _column_checks(op))
            op.columns = [item for item in items if _is_created(item, compiler)]
        elif isinstance(op, ModifyTableOps):
            op.ops[:] = [
                one
                for one in op.ops
                if not isinstance(one, CreateIndexOp)
                or (one.schema, one.table_name, one.index_name) not in excluded
            ]


def _excluded_indexes(
    metadata: MetaData, compiler: DDLCompiler
) -> set[tuple[str | None, str, str | None]]:
    return {
        (table.schema, table.name, index.name)
        for table in metadata.tables.values()
        for index in table.indexes
        if not _is_created(index, compiler)
    }


def _column_checks(op: CreateTableOp) -> Iterator[CheckConstraint]:
    for column in op.columns:
        if isinstance(column, Column):
            checks = (one for one in column.constraints if isinstance(one, CheckConstraint))
            # A copy, because Alembic copies those of a table only.
            yield from (CheckConstraint(one.sqltext, one.name) for one in checks)


def _is_created(item: object, compiler: DDLCompiler) -> bool:
    if isinstance(item, Index):
        rule = item._ddl_if
        ddl = CreateIndex(item)
        return rule is None or rule._should_execute(ddl, item, None, compiler=compiler)
    # The rule of a type's own constraint is Alembic's to apply: the revision creates the type.
    if isinstance(item, Constraint) and not item._type_bound:
        return item._should_create_for_compiler(compiler)
    return True
