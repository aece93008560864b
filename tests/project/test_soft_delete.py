"""A module that opts into soft deletion changes its models alone, on every database."""

from collections.abc import Callable

import pytest

from tests.support.checks import TESTS_OF_MODELS, check
from tests.support.edits import edit
from tests.support.projects import Project
from tests.support.revisions import ALEMBIC

# What a user edits: the model, and the base of a repository that is to restore.
MODELS = """
from app.core.models import Versioned
from app.core.soft_delete import SoftDelete, unique_active


class Item(Versioned, SoftDelete):
    __tablename__ = "item"
    __table_args__ = (unique_active("name"),)
"""
REPOSITORY = "from app.core.soft_delete import SoftDeleteRepository"

TEST = """
from uuid import UUID

import httpx2

from app.core.database import SessionFactory
from app.modules.item.repository import ItemRepository

PATH = "/api/v1/items"


async def test_a_deleted_item_is_hidden_until_it_is_restored(
    client: httpx2.AsyncClient, session_factory: SessionFactory
) -> None:
    async def names() -> list[str]:
        page = (await client.get(PATH)).json()
        return [item["name"] for item in page["items"]]

    created = await client.post(PATH, json={"name": "same"})
    first, tag = created.json(), {"If-Match": created.headers["ETag"]}
    assert (await client.post(PATH, json={"name": "same"})).status_code == 409
    assert (await client.delete(f"{PATH}/{first['id']}")).status_code == 204
    assert (await client.get(f"{PATH}/{first['id']}")).status_code == 404
    assert (await client.patch(f"{PATH}/{first['id']}", json={})).status_code == 404
    assert (await client.delete(f"{PATH}/{first['id']}")).status_code == 404
    assert await names() == []
    second = await client.post(PATH, json={"name": "same"})
    assert second.status_code == 201
    assert await names() == ["same"]
    assert (await client.delete(f"{PATH}/{second.json()['id']}")).status_code == 204
    async with session_factory() as session:
        assert await ItemRepository(session).restore(UUID(first["id"]))
        await session.commit()
    read = (await client.get(f"{PATH}/{first['id']}")).json()
    assert read == first | {"version": 3, "updated_at": read["updated_at"]}
    assert (await client.delete(f"{PATH}/{first['id']}", headers=tag)).status_code == 412
    assert await names() == ["same"]
"""


def opt_in(made: Project) -> None:
    module = made.path / "app/modules/item"
    models = (module / "models.py").read_text("utf-8")
    head, _, fields = models.partition('    __tablename__ = "item"\n')
    imports = head.partition("from app.core")[0]
    (module / "models.py").write_text(imports + MODELS.lstrip("\n") + fields, "utf-8")
    edit(module / "models.py", "String(200), index=True", "String(200)")
    edit(module / "repository.py", "from app.core.repository import Repository", REPOSITORY)
    edit(module / "repository.py", "(Repository[", "(SoftDeleteRepository[")
    (made.path / "tests/modules/test_soft_deletion.py").write_text(TEST.lstrip("\n"), "utf-8")
    made.python("-m", "tools.openapi")


def test_soft_delete_is_added_to_a_model(project: Callable[..., Project], database: str) -> None:
    made = project(database)
    assert MODELS.strip() in (made.path / "docs/database.md").read_text("utf-8")
    opt_in(made)
    made.with_server(
        ["python", "-c", ALEMBIC, "upgrade head", "revision --autogenerate -m soft"],
        # A second one would be written if the first were not all.
        ["python", "-c", ALEMBIC, "upgrade head", "check", "revision --autogenerate -m more"],
        ["python", "-c", ALEMBIC, "downgrade -1", "upgrade head", "check", "downgrade base"],
    )
    [revision] = (made.path / "alembic/versions").glob("2*.py")
    assert "unique=True" in revision.read_text("utf-8")
    check(made)
    made.python("-m", "pytest", "-q", *TESTS_OF_MODELS)


@pytest.mark.parametrize(
    ("file", "old", "new", "test"),
    [
        ("soft_delete.py", "include_aliases=True", "include_aliases=False", "select_finds"),
        ("soft_delete.py", "elif state.is_select", "elif False", "get_finds"),
        ("soft_delete.py", "if not state.execution_options", "if state.is_select", "bulk_update"),
        ("soft_delete.py", "unique=True", "unique=False", "unique_active"),
        ("soft_delete.py", "values[version] = version + 1", "pass", "increment_the_version"),
        ("repository.py", "            self.session.expunge(entity)\n", "", "get_finds"),
        ("repository.py", "if entity.soft_delete:", "if False:", "get_finds"),
    ],
)
def test_removed_deletion_criteria_fail_the_suite(
    project: Callable[..., Project], file: str, old: str, new: str, test: str
) -> None:
    made = project("sqlite")
    edit(made.path / "app/core" / file, old, new)
    made.python("-m", "pytest", "-q", "tests/core/test_soft_delete.py", "-k", test, status=1)


def test_soft_delete_is_removed_with_its_files(project: Callable[..., Project]) -> None:
    made = project("sqlite")
    (made.path / "app/core/soft_delete.py").unlink()
    (made.path / "tests/core/test_soft_delete.py").unlink()
    check(made)
    made.python("-m", "pytest", "-q", "tests/modules", "tests/core")
