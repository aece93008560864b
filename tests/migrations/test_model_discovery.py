"""Discovery of models by explicit imports and by scanning."""

from collections.abc import Callable

from tests.support.edits import edit
from tests.support.projects import Project


def test_scan_finds_every_models_module(project: Callable[..., Project], database: str) -> None:
    made = project(database, modules=["item"], model_discovery="scan")
    package = made.path / "app/modules/by_hand/models"
    package.mkdir(parents=True)
    model = (made.path / "app/modules/item/models.py").read_text("utf-8")
    model = model.replace("class Item", "class ByHand").replace('"item"', '"by_hand"')
    (package / "deeper.py").write_text(model, "utf-8")
    with made.server() as url:
        made.run("alembic", "upgrade", "head", DATABASE_URL=url)
        printed = made.run("alembic", "revision", "--autogenerate", "-m", "x", DATABASE_URL=url)
        assert "Found 2 models in 2 modules" in printed.stdout
    [revision] = (made.path / "alembic/versions").glob("2*_x.py")
    assert 'op.create_table(\n        "by_hand"' in revision.read_text("utf-8")
    made.python("-m", "pytest", "-q", "tests/test_migrations.py")


def test_the_order_of_imports_changes_nothing(project: Callable[..., Project]) -> None:
    made = project("sqlite", modules=["item", "tag", "user"])
    names = [f"app.modules.{name}.models" for name in ("item", "tag", "user")]
    code = (
        "import importlib, sys; from app.core.models import Base;"
        "[importlib.import_module(name) for name in sys.argv[1:]];"
        "print([(str(c), str(c.type)) for t in Base.metadata.sorted_tables for c in t.columns])"
    )
    orders = (names, names[::-1], [*names, *names, "app.main"], ["app.main", *names[::-1]])
    assert len({made.fresh.python("-c", code, *order).stdout for order in orders}) == 1


def test_a_missing_model_import_is_reported_with_the_line_to_add(
    project: Callable[..., Project],
) -> None:
    made = project("sqlite")
    line = "from app.modules.item import models as item_models  # noqa: F401"
    made.run("ruff", "check", "--fix", "--extend-select", "F401,RUF100")
    edit(made.path / "alembic/env.py", f"{line}\n", "")
    printed = made.python("-m", "pytest", "-q", "tests/test_migrations.py", status=1).stdout
    assert f"add to alembic/env.py, below isort: split: ['{line}']" in printed
