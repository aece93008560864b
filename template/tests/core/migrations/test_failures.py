import pytest
from alembic import command
from alembic.util import CommandError

from tests.core.migrations.conftest import Revisions


async def test_a_failure_names_the_revision_and_what_was_committed(revisions: Revisions) -> None:
    revisions.add("a")
    revisions.add("b", and_then='op.execute("SELECT * FROM test__nowhere")')
    with pytest.raises(CommandError, match="nowhere") as caught:
        await revisions.run(command.upgrade, "head")
    assert "upgrade a -> b, create b: failed." in str(caught.value)
    assert "Committed earlier in this run: upgrade  -> a, create a." in str(caught.value)
    kept = {"test__created_by_b"} if revisions.connection.dialect.name == "mysql" else set()
    assert await revisions.tables() == {"test__created_by_a"} | kept


async def test_an_exception_in_a_revision_keeps_its_type(revisions: Revisions) -> None:
    revisions.add("a", and_then="1 / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        await revisions.run(command.upgrade, "head")
    assert "upgrade  -> a, create a: failed." in caught.value.__notes__
