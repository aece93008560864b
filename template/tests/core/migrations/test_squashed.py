from functools import partial

import pytest
from alembic import command
from alembic.util import CommandError

from tests.core.migrations.conftest import Revisions


async def test_a_database_at_a_squashed_revision_is_rejected(revisions: Revisions) -> None:
    revisions.add("a")
    await revisions.run(command.upgrade, "head")
    (revisions.folder / "a.py").unlink()
    revisions.last = None
    revisions.add("b")
    with pytest.raises(CommandError, match="Can't locate revision identified by 'a'"):
        await revisions.run(command.upgrade, "head")
    with (revisions.folder / "b.py").open("a", encoding="utf-8") as file:
        file.write("\n\nreplaces = ['a']\n")
    message = r"is at revision a, .* Run `alembic upgrade b` with a release"
    with pytest.raises(CommandError, match=message):
        await revisions.run(command.upgrade, "head")
    assert await revisions.tables() == {"test__created_by_a"}
    await revisions.run(partial(command.stamp, purge=True), "b")
    with pytest.raises(CommandError, match="Revision a was squashed into b"):
        await revisions.run(command.downgrade, "a")
