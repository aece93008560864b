"""Tables are created before, and dropped after, the foreign keys that refer to them."""

from collections.abc import Sequence
from itertools import permutations

import pytest
from alembic.operations import ops
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table

from app.core.migrations.operation_order import sort_operations
from app.core.migrations.table_order import sort_tables


def tables(*keys: str, use_alter: bool = False) -> list[Table]:
    """Return tables with foreign keys, such as `a>b`, from a to b."""
    metadata = MetaData()
    columns: dict[str, list[Column[int]]] = {}
    for key in keys:
        child, _, parent = key.partition(">")
        columns.setdefault(child, [])
        if parent:
            columns.setdefault(parent, [])
            foreign_key = ForeignKey(f"{parent}.id", name=f"fk_{child}_{parent}")
            foreign_key.use_alter = use_alter
            columns[child].append(Column(f"{parent}_id", Integer, foreign_key))
    return [
        Table(name, metadata, Column("id", Integer, primary_key=True), *more)
        for name, more in columns.items()
    ]


def names(found: Sequence[Table]) -> str:
    return "".join(table.name for table in found)


def described(operations: ops.UpgradeOps | ops.DowngradeOps) -> list[str]:
    """Return operations in the form `+a`, `-a` for tables and `+a>b`, `-a>b` for foreign keys."""
    found = []
    for op in operations.ops:
        match op:
            case ops.CreateTableOp():
                keys = sorted(key.column.table.name for key in op.to_table().foreign_keys)
                found.append(f"+{op.table_name}({''.join(keys)})")
            case ops.DropTableOp():
                found.append(f"-{op.table_name}")
            case ops.CreateForeignKeyOp():
                found.append(f"+{op.source_table}>{op.referent_table}")
            case ops.DropConstraintOp():
                found.append(f"-{op.constraint_name}")
            case _:
                found.append(type(op).__name__)
    return found


def test_parents_are_created_first() -> None:
    for found in permutations(tables("a>b", "b>c", "a>d", "d>d")):
        assert names(sort_tables(found)) == "cdba"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("a>b", "b>a"), "ab"),
        (("a>b", "b>c", "c>a"), "acb"),
        (("a>b", "b>c", "c>b"), "bac"),
        (("a>b", "b>a", "a>x", "y>a"), "xaby"),
    ],
)
def test_a_cycle_breaks_at_one_of_its_own_tables(keys: tuple[str, ...], expected: str) -> None:
    for found in permutations(tables(*keys)):
        assert names(sort_tables(found)) == expected


def test_foreign_keys_of_a_cycle_are_created_last_and_dropped_first() -> None:
    created = ops.UpgradeOps(
        [ops.CreateTableOp.from_table(table) for table in sort_tables(tables("a>b", "b>a", "a>a"))]
    )
    sort_operations(created, separate_keys=True)
    assert described(created) == ["+a(a)", "+b(a)", "+a>b"]
    assert described(created.reverse()) == ["-fk_a_b", "-b", "-a"]


def test_a_foreign_key_with_use_alter_is_created_last() -> None:
    found = sort_tables(tables("a>b", use_alter=True))
    created = ops.UpgradeOps([ops.CreateTableOp.from_table(table) for table in found])
    sort_operations(created, separate_keys=True)
    assert described(created) == ["+a()", "+b()", "+a>b"]


@pytest.mark.parametrize("is_index", [False, True])
def test_a_foreign_key_is_created_after_the_unique_index_that_it_refers_to(
    is_index: bool,
) -> None:
    code = Column("code", Integer, unique=True, index=is_index)
    parent = Column("parent", Integer, ForeignKey("test__a.code", name="fk"))
    key = Column("id", Integer, primary_key=True)
    found = Table("test__a", MetaData(), key, code, parent)
    created = ops.UpgradeOps([ops.CreateTableOp.from_table(found)])
    sort_operations(created, separate_keys=True)
    late, early = ["+test__a()", "+test__a>test__a"], ["+test__a(test__a)"]
    assert described(created) == (late if is_index else early)


def test_tables_are_dropped_in_reverse_order() -> None:
    for found in permutations(tables("a>b", "b>c", "c>b")):
        drops = ops.UpgradeOps([ops.DropTableOp.from_table(table) for table in found])
        sort_operations(drops, separate_keys=True)
        assert described(drops) == ["-fk_b_c", "-c", "-a", "-b"]
        assert described(drops.reverse()) == ["+b()", "+a(b)", "+c(b)", "+b>c"]


def test_foreign_keys_of_existing_tables_enclose_everything_else() -> None:
    [a, b, _] = tables("a>b", "b>c")
    add = ops.CreateForeignKeyOp.from_constraint(*a.foreign_key_constraints)
    drop = ops.DropConstraintOp.from_constraint(*b.foreign_key_constraints)
    column = ops.AddColumnOp("a", Column("more", Integer))

    def changes() -> ops.UpgradeOps:
        return ops.UpgradeOps(
            [
                ops.DropTableOp.from_table(Table("test__x", MetaData())),
                ops.ModifyTableOps("a", [add, column, drop]),
            ]
        )

    sort_operations(separate := changes(), separate_keys=True)
    assert described(separate) == ["-fk_b_c", "ModifyTableOps", "-test__x", "+a>b"]
    sort_operations(together := changes(), separate_keys=False)
    assert described(together) == ["ModifyTableOps", "-test__x"]
    [modified, _] = together.ops
    assert isinstance(modified, ops.ModifyTableOps)
    assert modified.ops == [add, column, drop]
